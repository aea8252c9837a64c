"""What is installed, what the machine has, whether an artifact can run on it, and what is wrong."""
