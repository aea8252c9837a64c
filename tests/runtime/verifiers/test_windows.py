"""Solutions longer than a verifier's context, read in windows of their steps."""

import asyncio
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from runtime.verifiers.base import Context, TooLongError
from runtime.verifiers.families import FAMILIES
from runtime.verifiers.loading import open_verifier
from runtime.verifiers.windows import windows
from tests.support.checkpoints import make_verifier, own_tokenizer, solution

OWN_TEXT = ("qwen-prm", "skywork-prm", "math-shepherd", "rlhflow")
LIMIT = 80


@pytest.mark.parametrize("family", OWN_TEXT)
def test_every_step_is_in_one_window_with_the_prompt_and_the_steps_before_it(
    family: str, tmp_path: Path
) -> None:
    tokenizer = own_tokenizer()
    made, context = FAMILIES[family](tokenizer, tokenizer, tmp_path), Context("1+1", ())
    # Steps of one length, each with a letter of its own.
    letters = [chr(ord("a") + number) for number in range(26)]
    steps = [tuple(tokenizer.encode(letter * 6)) for letter in letters]
    limit = len(made.format_input(context, [()]).token_ids) + LIMIT
    found = windows(made, context, steps, limit)
    assert len(found) > 2
    scored = [(layout, place) for layout in found for place in layout.score_positions]
    assert len(scored) == len(steps)
    held = []
    for number, (layout, place) in enumerate(scored):
        text = tokenizer.decode(layout.token_ids[: place + 1])
        assert place < len(layout.token_ids) <= limit
        assert "1+1" in text
        held.append([letter for letter in letters if letter * 6 in text])
        # Up to its own step, without a gap.
        assert held[-1] == letters[number + 1 - len(held[-1]) : number + 1]
    width = max(later - earlier for earlier, later in pairwise(found[0].score_positions))
    whole = len(found[0].score_positions)
    assert all(len(steps) * width >= LIMIT / 2 - width for steps in held[whole:])
    # A solution that has grown less far has the same windows.
    for count in range(1, len(steps)):
        grown = windows(made, context, steps[:count], limit)
        texts = [layout.token_ids[: at + 1] for layout in grown for at in layout.score_positions]
        assert texts == [layout.token_ids[: at + 1] for layout, at in scored[:count]]


@pytest.mark.parametrize("family", OWN_TEXT)
def test_families_of_their_own_text_read_windows_of_what_is_longer(
    family: Any, tokenizer: Any, tmp_path: Path
) -> None:
    context, steps = solution(tokenizer, "\n".join(["1+1", *(f"{n}+1={n + 1}" for n in range(60))]))
    verifiers = [
        open_verifier(folder, tokenizer, family, engine="transformers")
        for positions in (400, 4096)
        for folder in [make_verifier(family, tmp_path / str(positions), tokenizer, positions)]
    ]

    async def scored() -> None:
        short, long = verifiers
        whole, wide = [await verifier.score(context, steps) for verifier in verifiers]
        assert (whole.windowed, wide.windowed) == (True, False)
        assert len(whole.step_scores) == len(steps)
        # Growing step by step, with what is remembered from before or not, it has the same scores.
        short._known.clear()
        for count in range(1, len(steps) + 1):
            grown = await short.score(context, steps[:count])
            assert grown.step_scores == pytest.approx(whole.step_scores[:count], abs=1e-5)
        # The last score is the one that the last steps have where the prompt is just before them.
        cut = [(await long.score(context, steps[at:])).step_scores for at in range(len(steps))]
        lasts = [scores[-1] for scores in cut]
        differences = [abs(score - whole.step_scores[-1]) for score in lasts]
        begun = min(range(len(steps)), key=lambda at: differences[at])
        assert differences[begun] < 1e-5 < min(differences[:begun])
        assert 10 < len(steps) - begun < 40
        with pytest.raises(
            TooLongError, match=r"prompt and one step take \d+ tokens, and its context is 400"
        ):
            await short.score(context, [*steps[:3], steps[4] * 100])

    asyncio.run(scored())
    for verifier in verifiers:
        verifier.close()
