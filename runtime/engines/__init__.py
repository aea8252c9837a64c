"""Engines, each a thin adapter. Heavy imports happen only inside the one that needs them."""
