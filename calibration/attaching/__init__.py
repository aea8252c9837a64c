"""Attaching models to an artifact made from logs."""
