"""The limit. A package, lest a library of the same name, which the benchmarks measure, be taken for it."""
