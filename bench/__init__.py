"""Benchmarks.  Each module runs alone (`python -m bench.status`) and prints one ratio."""
