"""Benchmarks of the package and its peers, measured in the same run: ``python -m benchmarks``."""

SCENARIOS = ("limits", "calls", "uploads", "imports", "acquire", "shared", "bulk", "growth")
