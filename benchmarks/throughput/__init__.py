"""Speed of search: this scheduler beside plain vLLM, a lockstep search and its_hub."""
