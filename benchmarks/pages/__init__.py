"""README and docs/results.md from what the benchmarks measured: ``python -m benchmarks.pages``."""
