"""Pure policy: plans, difficulty bins, the calibrated lookup table, drift. No torch, no vllm."""
