"""The paper's figures on the testbed: ``python -m benchmarks.figures``."""
