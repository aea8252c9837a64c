"""Whether the server answers as rightly as `ttc solve` does, asked by clients people use."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.testbed.paths import ARTIFACT
from benchmarks.testbed.task import Problem
from runtime.answers import PatternAnswers

IN_FLIGHT = 32
PATTERN = r"#(\d+)"


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


def by_harness(url: str, model: str, problems: Sequence[Problem], budget: int) -> float:
    """Accuracy that lm-evaluation-harness finds, over the testbed's task."""
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    with TemporaryDirectory() as folder:
        data = Path(folder) / "test.jsonl"
        rows = [{"prompt": p.text, "answer": p.answer} for p in problems]
        data.write_text("".join(json.dumps(row) + "\n" for row in rows))
        (Path(folder) / "testbed.yaml").write_text(json.dumps(_task(data)))
        found: dict[str, Any] = simple_evaluate(
            model="local-chat-completions",
            model_args={
                "model": f"{model}-ttc-{budget}",
                "base_url": f"{url}/v1/chat/completions",
                "num_concurrent": IN_FLIGHT,
                "tokenized_requests": False,
            },
            tasks=["testbed"],
            task_manager=TaskManager(include_path=folder, include_defaults=False),
            apply_chat_template=True,
            bootstrap_iters=0,
        )
    return float(found["results"]["testbed"]["exact_match,answer"])


def _task(data: Path) -> dict[str, Any]:
    """The task as the harness reads it; JSON is YAML, too."""
    return {
        "task": "testbed",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(data)}},
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
                    {"function": "regex", "regex_pattern": PATTERN},
                    {"function": "take_first"},
                ],
            }
        ],
        "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
    }
