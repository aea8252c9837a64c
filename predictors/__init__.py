"""Difficulty: from a few PRM-scored pilot samples to an expected pass@1."""
