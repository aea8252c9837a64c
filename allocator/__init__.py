"""Pure policy: plans, difficulty bins, the calibrated lookup table, drift. No torch, no vllm.

Beside it stands what all other packages share: errors, checks of numbers, atomic and locked files,
the migration of old files, and hints on optional dependencies.
"""
