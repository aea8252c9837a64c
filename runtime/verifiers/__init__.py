"""Verifiers: implementations of `runtime.verifiers.base.Verifier`."""
