"""A second task beside the testbed's, of another kind: letters moved about in place of sums."""
