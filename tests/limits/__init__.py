"""Tests of the limiters. A package, because the benchmarks import a library that is also called limits."""
