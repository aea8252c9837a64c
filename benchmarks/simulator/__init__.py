"""The real scheduler over engines of virtual time, whose step times are those of an H100."""
