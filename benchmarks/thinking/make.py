"""Make the thinking model: prompts, a teacher, its tries, and the model that learns from them.

    python -m benchmarks.thinking.make

The teacher is the testbed's base model, trained further, but not until it stops making mistakes.
What lies in out/thinking already is not made again; an interrupted training resumes.
"""

import argparse
import json
from itertools import islice
from pathlib import Path

from transformers import AutoModelForCausalLM, AutoTokenizer

from benchmarks.testbed.paths import BASE as TESTBED_BASE
from benchmarks.testbed.task import Split, distinct
from benchmarks.thinking.examples import Tried, batches, thinking_examples, worked
from benchmarks.thinking.paths import BASE, CALIBRATION_PROMPTS, TEST_PROMPTS
from benchmarks.thinking.task import problems
from benchmarks.thinking.tokenizer import build
from benchmarks.thinking.train import deepened, train
from benchmarks.thinking.tries import load, sample_tries, save

OUT, WEIGHTS = Path("out/thinking"), "model.safetensors"
TEACHER_SEED, TRIES_SEED, THOUGHTS_SEED, CALIBRATION_SEED, TEST_SEED = 11, 12, 13, 4, 3
CALIBRATION, TEST = 300, 320  # prompts
PROMPTS, TRIES = 2000, 10  # that the thinking model learns from; tries at each
TEACHER_TOKENS, TOKENS = 8192, 4096  # per batch
# The thinking model learns first from chains of at most so many operations, then from all: when to
# end a thought, and to copy its answer, it learns fastest where there is little else.
SHORT = 4
LONGEST = 8  # operations of the chains that the thinking model learns from, and is measured on
LAYERS = 2  # more than the teacher's


def write_prompts(path: Path, split: Split, count: int, seed: int) -> None:
    """Graded prompts of one split, as ``ttc`` reads them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    within = (p for p in problems(split, seed) if len(p.operations) <= LONGEST)
    rows = [{"prompt": p.text, "answer": p.answer} for p in distinct(within, count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def train_teacher(out: Path, steps: int) -> None:
    """Train the testbed's base model further, on chains as long as this task's."""
    tokenizer = AutoTokenizer.from_pretrained(TESTBED_BASE)
    train(
        deepened(TESTBED_BASE, tokenizer, 0, "eager"),
        tokenizer,
        lambda: batches(
            (worked(tokenizer, p) for p in problems("train", TEACHER_SEED)),
            TEACHER_TOKENS,
            TEACHER_SEED,
        ),
        out,
        steps=steps,
        peak_rate=1.5e-3,
    )


def train_thinking(teacher: Path, out: Path, tried: Tried, steps: int, layers: int) -> None:
    """Train a model that thinks.

    Args:
        teacher: folder of the model to begin with.
        out: folder for the model.
        tried: problems and tries at them.
        steps: batches to train on.
        layers: layers to add to the model.
    """
    tokenizer = build()
    train(
        deepened(teacher, tokenizer, layers, "sdpa"),
        tokenizer,
        lambda: batches(thinking_examples(tokenizer, tried, THOUGHTS_SEED), TOKENS, THOUGHTS_SEED),
        out,
        steps=steps,
        peak_rate=1.5e-3,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--teacher-steps", type=int, default=1600)
    parser.add_argument("--short-steps", type=int, default=700)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--out", type=Path, default=BASE, help="folder for the thinking model")
    args = parser.parse_args()
    write_prompts(CALIBRATION_PROMPTS, "calibration", CALIBRATION, CALIBRATION_SEED)
    write_prompts(TEST_PROMPTS, "test", TEST, TEST_SEED)
    teacher, sampled, short = OUT / "teacher", OUT / "tries.npz", OUT / "short"
    if not (teacher / WEIGHTS).is_file():
        train_teacher(teacher, args.teacher_steps)
    drawn = list(islice(problems("train", TRIES_SEED), PROMPTS))
    if not sampled.is_file():
        model = AutoModelForCausalLM.from_pretrained(teacher).eval()
        tokenizer = AutoTokenizer.from_pretrained(teacher)
        save(sample_tries(model, tokenizer, drawn, TRIES, TRIES_SEED), sampled)
    tried = list(zip(drawn, load(sampled, build()), strict=True))
    if not (short / WEIGHTS).is_file():
        few = [(p, tries) for p, tries in tried if len(p.operations) <= SHORT]
        train_thinking(teacher, short, few, args.short_steps, LAYERS)
    within = [(p, tries) for p, tries in tried if len(p.operations) <= LONGEST]
    train_thinking(short, args.out, within, args.steps, 0)


if __name__ == "__main__":
    main()
