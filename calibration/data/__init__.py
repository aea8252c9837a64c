"""Data sets and sample logs: what is read from the user's files."""
