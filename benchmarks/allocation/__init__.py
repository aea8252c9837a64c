"""What allocation gains, every cost counted: ``python -m benchmarks.allocation``."""
