"""The solver that all callers share: pilots, decisions, adaptive runs, results."""
