"""Learning from traffic: recalibrated on what was recorded, and replaced under load."""
