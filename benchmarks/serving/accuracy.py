"""Whether the server is as accurate as `ttc solve`, measured with common clients."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.testbed.paths import ARTIFACT, BASE
from benchmarks.testbed.task import Problem
from runtime.answers import PatternAnswers

IN_FLIGHT = 32
PATTERN = r"#(\d+)"
NONE = "[none]"  # what the harness has where a solution has no answer
SEED = 0  # the command's and the server's


def by_command(problems: Sequence[Problem], budget: int) -> list[str | None]:
    """Answers of `ttc solve`."""
    with TemporaryDirectory() as folder:
        prompts, out = Path(folder) / "prompts.jsonl", Path(folder) / "answers.jsonl"
        prompts.write_text("".join(json.dumps({"prompt": p.text}) + "\n" for p in problems))
        command = [
            sys.executable, "-m", "calibration.cli", "solve", "--artifact", str(ARTIFACT),
            "--budget", str(budget), "--file", str(prompts), "--out", str(out),
            "--engine", "vllm",
        ]  # fmt: skip
        subprocess.run(command, check=True, capture_output=True)
        return [json.loads(line)["answer"] for line in out.read_text().splitlines()]


def by_client(url: str, model: str, problems: Sequence[Problem], budget: int) -> list[str | None]:
    """Answers that the `openai` client gets."""
    from openai import AsyncOpenAI

    places = asyncio.Semaphore(IN_FLIGHT)
    answers = PatternAnswers(PATTERN)

    async def all_of_them() -> list[str | None]:
        async with AsyncOpenAI(base_url=f"{url}/v1", api_key="none") as client:

            async def one(problem: Problem) -> str | None:
                async with places:
                    reply = await client.chat.completions.create(
                        model=model,
                        messages=[{"role": "user", "content": problem.text}],
                        extra_body={"ttc": {"budget": budget}},
                    )
                return answers.extract(reply.choices[0].message.content or "")

            return list(await asyncio.gather(*(one(problem) for problem in problems)))

    return asyncio.run(all_of_them())


def by_harness(
    url: str,
    model: str,
    problems: Sequence[Problem],
    budget: int,
    endpoint: str = "chat/completions",
) -> tuple[list[str | None], float]:
    """Answers that lm-evaluation-harness gets from a server, and their accuracy.

    Args:
        url: the server.
        model: its name there.
        problems: what to ask.
        budget: generations that each may cost.
        endpoint: ``chat/completions``, or ``completions``, to which the harness sends token ids
            that it has laid out by the model's chat template itself.
    """
    chat = endpoint == "chat/completions"
    tokenizer = {} if chat else {"tokenizer_backend": "huggingface", "tokenizer": str(BASE)}
    arguments = {
        "model": f"{model}-ttc-{budget}",
        "base_url": f"{url}/v1/{endpoint}",
        "num_concurrent": IN_FLIGHT,
        "tokenized_requests": not chat,
        "max_retries": 1,
        "seed": SEED,
    }
    name = "local-chat-completions" if chat else "local-completions"
    return evaluated_by_harness(name, arguments | tokenizer, problems)


def evaluated_by_harness(
    model: str, arguments: dict[str, Any], problems: Sequence[Problem]
) -> tuple[list[str | None], float]:
    """Answers that lm-evaluation-harness gets over the testbed's task, and their accuracy.

    Args:
        model: one of the harness's models.
        arguments: the model's.
        problems: what to ask.
    """
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    with TemporaryDirectory() as folder:
        (Path(folder) / "testbed.yaml").write_text(json.dumps(_task(Path(folder), problems)))
        found: dict[str, Any] = simple_evaluate(
            model=model,
            model_args=arguments,
            tasks=["testbed"],
            task_manager=TaskManager(include_path=folder, include_defaults=False),
            apply_chat_template=True,
            bootstrap_iters=0,
        )
    samples = sorted(found["samples"]["testbed"], key=lambda sample: sample["doc_id"])
    answers = [sample["filtered_resps"][0] for sample in samples]
    accuracy = float(found["results"]["testbed"]["exact_match,answer"])
    return [None if answer == NONE else answer for answer in answers], accuracy


def _task(folder: Path, problems: Sequence[Problem]) -> dict[str, Any]:
    """The task as the harness reads it, its problems in a file; JSON is YAML, too."""
    data = folder / "test.jsonl"
    rows = [{"prompt": problem.text, "answer": problem.answer} for problem in problems]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {
        "task": "testbed",
        "dataset_path": "json",
        "dataset_kwargs": {
            "data_files": {"test": str(data)},
            "cache_dir": str(folder / "cache"),
        },
        "test_split": "test",
        "output_type": "generate_until",
        "doc_to_text": "{{prompt}}",
        "doc_to_target": "{{answer}}",
        # The model ends its solutions itself.
        "generation_kwargs": {"until": [], "do_sample": True, "max_gen_toks": 160},
        "filter_list": [
            {
                "name": "answer",
                "filter": [
                    {"function": "regex", "regex_pattern": PATTERN, "fallback": NONE},
                    {"function": "take_first"},
                ],
            }
        ],
        "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
    }
