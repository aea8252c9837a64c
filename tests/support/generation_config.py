"""Sampling defaults that a model publishes in its folder."""

# What models name in generation_config.json, and more strongly than any does.
ADVERSE = {
    "do_sample": True,
    "temperature": 0.2,
    "top_k": 3,
    "top_p": 0.5,
    "min_p": 0.3,
    "repetition_penalty": 1.3,
    "max_new_tokens": 7,
}
