"""Benchmarks: the core beside its peers."""
