"""An OpenAI-compatible server that spends each prompt's budget by its difficulty."""
