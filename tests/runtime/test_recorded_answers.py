"""`ttc solve` gives the answers that it gave when they were recorded.

The recorded set was made by ``ttc solve --engine transformers`` when the artifact was, with the
committed artifact, on the first 16 test prompts.
"""

import json
from pathlib import Path

import pytest

from benchmarks.testbed.paths import ARTIFACT, TEST_PROMPTS
from tests.support.cli import invoke
from tests.support.paths import ROOT

RECORDED = json.loads((ROOT / "tests" / "support" / "recorded_answers.json").read_text())


@pytest.mark.slow
@pytest.mark.parametrize("options", sorted(RECORDED))
def test_the_answers_are_those_of_before(options: str, tmp_path: Path) -> None:
    recorded = RECORDED[options]
    lines = TEST_PROMPTS.read_text().splitlines()[: len(recorded)]
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("\n".join(lines))
    command = ["solve", "--artifact", ARTIFACT, "--engine", "transformers", "--file", prompts]
    status, out, _ = invoke(*command, *options.split())
    assert status == 0
    found = [json.loads(line) for line in out.splitlines()]
    for result, before in zip(found, recorded, strict=True):
        assert {name: (result | result["receipt"])[name] for name in before} == before
