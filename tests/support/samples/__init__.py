"""Scans with known text: six that `ocrd demo` shows, others that tests make as they need them."""

from tests.support.samples.make import TITLES, scan_of, write_samples
from tests.support.samples.model import Sample, SamplePage, Scan, TrueWord

__all__ = ["TITLES", "Sample", "SamplePage", "Scan", "TrueWord", "scan_of", "write_samples"]
