"""Training recipes for verifiers."""
