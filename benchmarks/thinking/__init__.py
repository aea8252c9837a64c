"""A task and a model that thinks: tries at an arithmetic chain until two of them agree."""
