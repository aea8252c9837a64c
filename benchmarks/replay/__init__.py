"""Adaptive thinking replayed on logged thoughts of Qwen3 models."""
