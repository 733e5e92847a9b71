"""Benchmarks, and modules that they share.  `python -m bench.status` runs one of them."""
