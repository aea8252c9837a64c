"""Measure on a data set: sampling, tables, the predictor, verifier training; the command line."""
