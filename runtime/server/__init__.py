"""An OpenAI-compatible server that gives every prompt the compute it deserves."""
