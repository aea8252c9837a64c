"""What only a GPU shows: opening times, tokens per second, and scores equal between engines."""
