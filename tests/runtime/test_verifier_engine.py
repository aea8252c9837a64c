"""The verifiers' engine is an option of every command, and of the drop-ins."""

import json
from pathlib import Path
from typing import Any

import pytest

from allocator.errors import InputError
from benchmarks.testbed.paths import ARTIFACT
from runtime.dropin.async_llm import AsyncComputeOptimalLLM
from runtime.dropin.llm import ComputeOptimalLLM
from tests.support.cli import MODELS, TASK, refused
from tests.support.fakes import StepUp

# The artifact's verifier is of a family that is refused when it is opened: the option got there.
NOT_SERVED = "vllm serve does not serve likelihood"
NOWHERE = "http://127.0.0.1:9"


@pytest.mark.slow
@pytest.mark.parametrize("command", ["solve", "explain", "serve", "bench", "calibrate"])
def test_commands_take_it_and_refuse_unknown_names(command: str, tmp_path: Path) -> None:
    graded = tmp_path / "graded.jsonl"
    rows = [{"prompt": f"{n}+1", "answer": str(n + 1)} for n in range(10, 50)]
    graded.write_text("\n".join(map(json.dumps, rows)))
    artifact = ("--artifact", ARTIFACT, "--engine", "transformers")
    out = ("--out", tmp_path / "out")
    options: dict[str, tuple[object, ...]] = {
        "solve": (*artifact, "--budget", 4, "1+2"),
        "explain": (*artifact, "--budget", 4, "1+2"),
        "serve": (*artifact, "--port", 0),
        "bench": (graded, *artifact, *out),
        "calibrate": (graded, *out, *MODELS, *TASK),
    }
    message = refused(command, *options[command], "--verifier-engine", NOWHERE)
    assert NOT_SERVED in " ".join(message.split())
    message = refused(command, *options[command], "--verifier-engine", "tensorrt")
    assert "verifier engine: 'tensorrt': choose auto" in " ".join(message.split())


def test_drop_ins_take_it(tokenizer: Any, run: Any) -> None:
    async def wrapped() -> None:
        AsyncComputeOptimalLLM.wrap(StepUp(tokenizer), ARTIFACT, verifier_engine=NOWHERE)

    with pytest.raises(InputError, match=NOT_SERVED):
        run(wrapped())
    with pytest.raises(InputError, match=NOT_SERVED):
        ComputeOptimalLLM.wrap(StepUp(tokenizer), ARTIFACT, verifier_engine=NOWHERE)
