# %% [markdown]
# # A drop-in on a model
#
# A model answers prompts, each with the compute that it deserves, and the code around it stays. The models are the
# tiny ones of this repository's testbed: a language model that evaluates arithmetic, and a process
# reward model (PRM) that scores its steps. They run in seconds on a CPU, by transformers.
#
# With vLLM the change is one import, `from ttc_allocator import LLM` in place of `from vllm import LLM`; artifact,
# budgets and receipts are the same.
#
# ## What calibration has found
#
# `ttc calibrate` ran once on 400 prompts with known answers, and wrote an *artifact*. It shows its table: the plan
# for each budget and each range of predicted difficulty.

# %%
import json
from itertools import islice
from pathlib import Path

from transformers import AutoModelForCausalLM, AutoTokenizer

from ttc_allocator import Artifact, ComputeOptimalModel

artifact = Artifact.load("benchmarks/testbed/artifact")
artifact

# %% [markdown]
# Most prompts need little, and a few need much. So the same budget buys more if it is spent by difficulty (blue) or
# by what the next generation is expected to gain (green) than if each prompt gets the same (orange):

# %%
artifact.plot()

# %% [markdown]
# ## Before
#
# A prompt is a question in the model's chat template. This is how transformers answers one:

# %%
folder = "benchmarks/testbed/models/base"
tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
model = AutoModelForCausalLM.from_pretrained(folder)


def tokens_of(questions):
    """Chats as token ids, shape (questions, tokens), padded on the left."""
    return tokenizer.apply_chat_template(
        [[{"role": "user", "content": question}] for question in questions],
        add_generation_prompt=True,
        padding=True,
        return_tensors="pt",
        return_dict=True,
    )


def solutions(prompts, sequences):
    """The text after each prompt."""
    length = prompts["input_ids"].shape[1]
    return tokenizer.batch_decode(sequences[:, length:], skip_special_tokens=True)


prompt = tokens_of(["347+58*7-91"])
sequences = model.generate(**prompt, max_new_tokens=160, do_sample=False)
print(solutions(prompt, sequences)[0])

# %% [markdown]
# It has the right answer: the testbed's expressions are evaluated from left to right, modulo 1000.
#
# ## After
#
# `ComputeOptimalModel` has the same `generate`. It takes a few samples of the prompt, the *pilots*, predicts how hard
# the prompt is, and runs the table's plan. Requested as a dictionary, the output has a receipt for each prompt: what
# was decided and why, and what it cost.

# %%
solver = ComputeOptimalModel.from_pretrained("benchmarks/testbed/artifact", budget=12)
output = solver.generate(**prompt, return_dict_in_generate=True)
print(solutions(prompt, output.sequences)[0])

# %%
output.receipts[0]

# %% [markdown]
# ## Many prompts, one budget
#
# 40 prompts that calibration has not seen: with one sample each, with up to 12 generations each, and with a total
# that all share, half as large. Under a total, prompts whose answer is clear stop early, and what they leave goes to
# the hard ones.

# %%
with Path("benchmarks/testbed/data/test.jsonl").open() as lines:
    tests = [json.loads(line) for line in islice(lines, 40)]
prompts = tokens_of([test["prompt"] for test in tests])


def right(sequences):
    """How many answers are correct: the last line is # and the number."""
    texts = solutions(prompts, sequences)
    answers = [text.strip().splitlines()[-1] for text in texts]
    pairs = zip(answers, tests, strict=True)
    return sum(answer == f"#{test['answer']}" for answer, test in pairs)


for spend in ({"budget": 1}, {"budget": 12}, {"total_budget": 40 * 6}):
    found = solver.generate(**prompts, **spend, return_dict_in_generate=True)
    mean = sum(receipt.generations for receipt in found.receipts) / len(tests)
    print(f"{spend}: {right(found.sequences)} of 40, {mean:.1f} generations each")

# %% [markdown]
# Where the shared budget went, from the prompt that cost least to the one that cost most:

# %%
costs = [receipt.generations for receipt in found.receipts]
by_cost = sorted(zip(costs, tests, strict=True), key=lambda pair: pair[0])
for cost, test in by_cost[::6]:
    print(f"{cost:3} generations, pass@1 {test['pass_at_1']:4.0%}  {test['prompt']}")

# %%
solver.close()

# %% [markdown]
# ## Where to go from here
#
# - Your own model and prompts: `ttc calibrate`, then the same code.
# - The same over HTTP: `ttc serve --artifact FOLDER`, with any OpenAI client.
# - Samples, but no model at hand: calibrate from a log, as the next tutorial does.
