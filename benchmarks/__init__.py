"""Benchmarks of this package and of similar packages: ``python -m benchmarks``."""

SCENARIOS = ("limits", "calls", "uploads", "imports", "acquire", "shared", "bulk", "growth")
