"""Sample scans with known text: the demo shows them, tests measure against them."""

from ocrd.samples.make import scan_of, write_samples
from ocrd.samples.model import Sample, SamplePage, Scan, TrueWord

__all__ = ["Sample", "SamplePage", "Scan", "TrueWord", "scan_of", "write_samples"]
