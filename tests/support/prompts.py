"""Prompts of the testbed in the forms in which the drop-in wrappers take them."""

PROBLEMS = ["12+7*3", "4*5+6", "9*9-1+4*2"]
RAW = [f"<user>{problem}<assistant>" for problem in PROBLEMS]
CHATS = [[{"role": "user", "content": problem}] for problem in PROBLEMS]
