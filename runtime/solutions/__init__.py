"""One solution as it is sampled: its thought, its steps, and the sample that it becomes."""
