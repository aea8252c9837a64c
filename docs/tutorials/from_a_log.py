# %% [markdown]
# # Calibrating from a log
#
# You have samples that were logged, and you know which were correct. What would you have saved, and when should you have
# stopped? No model is needed to answer this.
#
# ## The log
#
# One row per sample, as Parquet or JSON lines. Here the log is made of the testbed's stored samples: 400 questions
# with 16 samples each to calibrate on, 200 others to test on. A row has the question, the answer, whether it was
# correct and, as far as they are known, a verifier's score, the log-probability and the number of tokens.

# %%
import json
from pathlib import Path

import pyarrow.parquet as pq

from ttc_allocator import FittedPolicy, StopRule

SAMPLES = 16  # of each question
out = Path("out/tutorial")
out.mkdir(parents=True, exist_ok=True)


def log_of(pool, questions):
    """The first samples of each question; equal ones share a row, with their places."""
    rows = pq.read_table(f"benchmarks/testbed/pools/{pool}.parquet").to_pylist()
    names = set(list(dict.fromkeys(row["prompt"] for row in rows))[:questions])
    return [
        {
            "question": row["prompt"],
            "sample": place,
            "answer": row["answer"] or "",
            "correct": row["correct"],
            "score": row["step_scores"][-1],
            "logprob": row["logprob"],
            "tokens": sum(map(len, row["steps"])),
        }
        for row in rows
        if row["prompt"] in names
        for place in row["places"]
        if place < SAMPLES
    ]


for name, questions in (("calibration", 400), ("test", 200)):
    log = log_of(name, questions)
    log.sort(key=lambda row: (row["question"], row["sample"]))
    (out / f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in log))
print(f"{len(log):,} samples to test on, such as")
log[0]

# %% [markdown]
# ## Calibrate
#
# A shell command. It fits how samples are scored, how difficulty is predicted from the first ones, and what more
# samples gain, and writes an artifact.

# %% [bash]
# rm -rf out/tutorial/artifact
# ttc calibrate --from-logs out/tutorial/calibration.jsonl --out out/tutorial/artifact \
#     --budgets 1,2,4,8,16

# %%
policy = FittedPolicy.load(out / "artifact")
policy

# %%
policy.plot()

# %% [markdown]
# ## Test
#
# `ttc bench` replays the methods on questions that calibration has not seen, and says how many times fewer samples
# each needs for the accuracy of best-of-N, with 95% intervals.

# %% [bash]
# ttc bench --from-logs out/tutorial/test.jsonl --artifact out/tutorial/artifact \
#     --budgets 4,16 --out out/tutorial/bench

# %% [markdown]
# ## Use it
#
# `StopRule` takes the same decisions one question at a time, in any loop that samples. Here the loop draws from the
# test log, where yours would call a model. All questions together may cost 4 samples on average:

# %%
rule = StopRule.load(out / "artifact", average_budget=4)
questions = {}
for row in log:
    questions.setdefault(row["question"], []).append(row)

right = spent = 0
for samples in questions.values():
    votes = rule.start()
    while (more := votes.more()) > 0:
        for row in samples[votes.samples : votes.samples + more]:
            known = {"logprob": row["logprob"], "tokens": row["tokens"]}
            votes.add(row["answer"] or None, {"score": row["score"]}, **known)
    spent += votes.samples
    right += any(row["correct"] for row in samples if row["answer"] == votes.answer)
count = len(questions)
print(f"{right / count:.1%} right, {spent / count:.2f} samples per question")

# %% [markdown]
# With a fixed number of samples per question, by majority, in comparison:

# %%
for n in (1, 2, 4, 8, 16):
    right = 0
    for samples in questions.values():
        answers = [row["answer"] for row in samples[:n]]
        answer = max(answers, key=answers.count)
        right += any(row["correct"] for row in samples if row["answer"] == answer)
    print(f"{n:2} samples: {right / len(questions):.1%} right")

# %% [markdown]
# ## Where to go from here
#
# - Your own log: [the columns](../logs.md), and files of other programs that are read as they are.
# - `ttc attach` gives the artifact its models, for `ttc solve`, `ttc serve` and the drop-ins.
# - `StopRule` in your serving stack: [from a log to a service](../serving-stack.md).
