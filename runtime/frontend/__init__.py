"""What every caller's request goes through once: messages, fields, sampling parameters."""
