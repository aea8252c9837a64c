"""Data sets and sample logs, read from the user's files."""
