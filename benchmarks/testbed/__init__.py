"""The testbed: tiny models of one arithmetic task, trained in this repository."""
