"""Sampling a data set, in this process or on a Ray cluster; samples are kept on disk."""
