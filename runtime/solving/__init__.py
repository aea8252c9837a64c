"""The policy at work: pilots, decisions, adaptive runs, one solver for all callers."""
