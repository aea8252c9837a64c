"""The server under load and under faults."""
