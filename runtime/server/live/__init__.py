"""The live page at ``/``: requests as they run."""
