"""Wrappers that take the place of vLLM's LLM and AsyncLLM and of transformers' generate."""
