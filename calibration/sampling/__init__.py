"""Sampling a data set: here or on a Ray cluster, kept on disk as it comes."""
