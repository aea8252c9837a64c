"""Predictors: pass@1 from a prompt or its pilots, and the gain of more solutions."""
