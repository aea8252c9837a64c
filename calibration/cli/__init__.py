"""The command line, ``ttc``: each command, its options and what it prints."""
