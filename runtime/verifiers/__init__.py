"""Verifiers: implementations of `runtime.verifier.Verifier`."""
