"""The token-classification PRM, against the model called directly."""

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForTokenClassification

from allocator.errors import InputError
from benchmarks.testbed.paths import PRM
from runtime.verifiers import token_classification
from runtime.verifiers.token_classification import TokenClassificationPRM


def solution(tokenizer: Any, text: str) -> tuple[list[int], list[tuple[int, ...]]]:
    prompt, *lines = text.split("\n")
    prompt_ids = tokenizer.encode(f"<user>{prompt}<assistant>")
    steps = [tuple(tokenizer.encode(line + "\n")) for line in lines[:-1]]
    return prompt_ids, [*steps, tuple(tokenizer.encode(lines[-1] + "<end>"))]


def test_scores_are_the_models_at_each_steps_last_token(tokenizer: Any) -> None:
    verifier = TokenClassificationPRM(PRM, tokenizer)
    right = solution(tokenizer, "12+7*3\n12+7=19\n19*3=57\n#57")
    wrong = solution(tokenizer, "5-9\n5-9=17\n#17")

    async def score() -> list[tuple[float, ...]]:
        return list(await asyncio.gather(*(verifier.score(p, s) for p, s in (right, wrong, right))))

    scores = asyncio.run(score())
    verifier.close()
    model = AutoModelForTokenClassification.from_pretrained(PRM).eval()
    for (prompt, steps), found in zip((right, wrong, right), scores, strict=True):
        ids = torch.tensor([[*prompt, *(token for step in steps for token in step)]])
        with torch.no_grad():
            direct = model(input_ids=ids).logits[0, :, 0].sigmoid()
        end, expected = len(prompt), []
        for step in steps:
            end += len(step)
            expected.append(float(direct[end - 1]))
        assert found == pytest.approx(expected, abs=1e-4)
    assert scores[0] == scores[2]
    assert scores[0] != scores[1]
    # How well the scores tell right from wrong is measured, not tested: benchmarks.testbed.measure.


def test_scores_hold_though_they_are_forgotten_at_once(
    tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [f"12+7*3\n12+7=19\n19*3={n}\n#{n}" for n in range(50, 60)]
    solutions = [solution(tokenizer, text) for text in texts]

    async def score() -> list[tuple[float, ...]]:
        verifier = TokenClassificationPRM(PRM, tokenizer)
        await verifier.score(solutions[0][0], solutions[0][1][:1])
        found = await asyncio.gather(*(verifier.score(p, s) for p, s in solutions))
        verifier.close()
        return list(found)

    remembered = asyncio.run(score())
    monkeypatch.setattr(token_classification, "REMEMBERED", 1)
    for forgotten, expected in zip(asyncio.run(score()), remembered, strict=True):
        assert forgotten == pytest.approx(expected, abs=1e-4)


def broken_copy(tmp_path: Path) -> Path:
    folder = tmp_path / "prm"
    shutil.copytree(PRM, folder)
    return folder


def test_nan_is_an_error_that_names_the_mend(tokenizer: Any, tmp_path: Path) -> None:
    folder = broken_copy(tmp_path)
    weights = load_file(folder / "model.safetensors")
    weights["score.weight"].fill_(float("nan"))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    verifier = TokenClassificationPRM(folder, tokenizer)
    prompt, steps = solution(tokenizer, "5-9\n5-9=996\n#996")
    with pytest.raises(InputError, match="NaN; check its weights"):
        asyncio.run(verifier.score(prompt, steps))
    verifier.close()


def test_another_vocabulary_is_refused(tokenizer: Any, tmp_path: Path) -> None:
    folder = broken_copy(tmp_path)
    raw = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = raw["model"]["vocab"]
    vocabulary["7"], vocabulary["8"] = vocabulary["8"], vocabulary["7"]
    (folder / "tokenizer.json").write_text(json.dumps(raw))
    with pytest.raises(InputError, match="vocabulary is not the language model's"):
        TokenClassificationPRM(folder, tokenizer)
