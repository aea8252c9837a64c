"""The thinking task, what its model learns from, and the model as committed."""

import asyncio
import json
from itertools import islice

import numpy as np
import pytest
from transformers import AutoTokenizer

from benchmarks.testbed.task import Problem, split_of
from benchmarks.thinking import examples
from benchmarks.thinking.examples import Example, not_thought, padded, thought
from benchmarks.thinking.measure import Sampled, Sampler, figures, repeats, results
from benchmarks.thinking.paths import BASE, CALIBRATION_PROMPTS, TEST_PROMPTS
from benchmarks.thinking.task import THINK, best_answer, problems, result_of, think
from benchmarks.thinking.tokenizer import build
from benchmarks.thinking.tries import Try

PROBLEM = Problem(5, (("+", 6), ("*", 7)))
RIGHT, WRONG, OTHER = (f"5+6=11\n11*7={r}\n#{r}" for r in (77, 78, 87))
EASY = Problem(357, (("+", 11), ("+", 98), ("+", 98)))  # the model mostly gets it right
VOCABULARY = 21  # the teacher's, without the marks of a thought


def attempt(text: str) -> Try:
    """A try of which the teacher is certain."""
    tokenizer = build()
    ids = np.array(tokenizer.encode(text), np.uint8)
    rows = np.eye(VOCABULARY, dtype=np.float16)[[*ids, tokenizer.eos_token_id]]
    return Try(text, ids, rows)


def written(example: Example) -> str:
    text: str = build().decode(example.ids)
    return text


def learned(example: Example) -> str:
    """The tokens with a loss; the others as dots."""
    tokenizer = build()
    return "".join(
        tokenizer.decode([int(row.argmax())]) if row.sum() else "." for row in example.targets
    )


@pytest.mark.parametrize(
    ("tries", "used", "agreed"),
    [
        ([RIGHT, RIGHT, WRONG], 2, True),
        ([WRONG, RIGHT, OTHER, RIGHT, WRONG], 4, True),
        ([WRONG, RIGHT, WRONG], 3, True),  # two errors may agree
        ([WRONG, RIGHT, OTHER], 3, False),
        ([RIGHT], 1, False),
    ],
)
def test_a_thought_ends_with_the_first_try_that_agrees(
    tries: list[str], used: int, agreed: bool
) -> None:
    made = think(tries)
    assert made.tries == tuple(tries[:used])
    assert made.agreed is agreed


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (f"\n{WRONG}\n{RIGHT}\n{RIGHT}\n", "77"),
        (f"\n{WRONG}\n{RIGHT}\n{OTHER}", "77"),  # the last result may lack a digit
        (f"\n{WRONG}\n{RIGHT}\n5+6=1", "77"),
        (f"\n{WRONG}\n{RIGHT}\n{OTHER}\n{RIGHT}\n", "77"),
        (f"\n{RIGHT}\n", "77"),
        (f"\n{RIGHT}", None),
        ("", None),
    ],
)
def test_the_answer_of_a_thought_that_is_cut_off(text: str, answer: str | None) -> None:
    assert best_answer(text) == answer


def test_the_result_of_a_try() -> None:
    assert result_of(RIGHT) == "77"
    assert result_of("5+6=11") is None
    assert result_of("5+6=11\n#") is None


def test_a_full_thought_and_its_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examples, "CUT_OFF", 0.0)
    made = thought(build(), PROBLEM, [attempt(RIGHT)] * 2, np.random.default_rng(0))
    assert written(made) == (
        f"<user>5+6*7<assistant><think>\n5+6*7\n{RIGHT}\n5+6*7\n{RIGHT}\n</think>\n\n#77<end>"
    )
    # All but the prompt is learned; where the teacher ends a try, the thought has a newline.
    assert learned(made) == "." * 7 + written(made).removeprefix("<user>5+6*7<assistant>")
    decisions = [i for i, row in enumerate(made.targets) if row.sum() == examples.DECISION]
    assert [made.ids[i] for i in decisions] == build().encode("5</think>")


def test_thoughts_cut_off_anywhere_have_the_answer_of_what_stands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(examples, "CUT_OFF", 1.0)
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(200):
        made = thought(build(), PROBLEM, [attempt(t) for t in (WRONG, OTHER, WRONG)], rng)
        text = written(made)
        standing, answer = text.split(THINK)[1].split("</think>")
        result = best_answer(standing) or PROBLEM.answer
        seen.add(result)
        assert answer in {f"\n\n#{result}<end>", f"\n#{result}<end>"}
        # The end of the thought is not the model's own.
        assert "</think>" not in learned(made)
        assert learned(made).endswith(f"{result}<end>")
    assert seen == {"77", "78", "87"}


def test_tries_that_never_agree_are_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examples, "CUT_OFF", 0.0)
    made = thought(build(), PROBLEM, [attempt(WRONG), attempt(RIGHT)], np.random.default_rng(0))
    assert "</think>" not in learned(made)


def test_without_a_thought_the_answer_is_one_try() -> None:
    made = not_thought(build(), PROBLEM, attempt(WRONG))
    prompt = "<user>5+6*7<assistant><think>\n\n</think>\n\n"
    assert written(made) == f"{prompt}{WRONG}<end>"
    assert learned(made) == "." * len(build().encode(prompt)) + f"{WRONG}<end>"
    ids, targets = padded([made])
    assert ids.shape[1] % 8 == 0
    assert targets.sum() == len(build().encode(f"{WRONG}<end>"))


def test_splits_never_overlap() -> None:
    drawn = {
        split: {p.text for seed in (0, 1) for p in islice(problems(split, seed), 40)}
        for split in ("train", "calibration", "test")
    }
    for split, texts in drawn.items():
        assert {split_of(text) for text in texts} == {split}
    for path, split in ((CALIBRATION_PROMPTS, "calibration"), (TEST_PROMPTS, "test")):
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        assert len({row["prompt"] for row in rows}) == len(rows) >= 200
        assert {split_of(row["prompt"]) for row in rows} == {split}


def test_the_figures_of_samples() -> None:
    samples = [
        [Sampled("1", 10), Sampled("2", 20), Sampled("1", 30)],
        [Sampled("3", 40), Sampled(None, 50), Sampled(None, 90, ended=False)],
    ]
    found = figures(samples, ["1", "4"])
    assert found["accuracy"] == pytest.approx(2 / 6)
    assert found["majority of 3"] == 0.5
    assert found["tokens"] == 40
    assert found["ended by the model"] == pytest.approx(5 / 6)


def test_repeats_of_a_wrong_first_try() -> None:
    # Both wrong first tries are repeated in their own thought; the other thought repeats one.
    tries = [[["7", "7"], ["8", "8"], ["9", "7", "9"], ["5", "4"], ["8"]]]
    assert repeats(tries, ["5"]) == {
        "same thought": pytest.approx(2 / 3),
        "another thought": pytest.approx((1 / 3 + 0 + 0) / 3),
    }


@pytest.mark.parametrize(
    ("settings", "end"),
    [
        ({}, ""),
        ({"enable_thinking": True}, ""),
        ({"enable_thinking": False}, "<think>\n\n</think>\n\n"),
    ],
)
def test_the_chat_template_follows_qwen3(settings: dict[str, bool], end: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(BASE)
    turns = [
        {"role": "user", "content": "5+6"},
        {"role": "assistant", "content": "<think>\n5+6=11\n#11\n</think>\n\n#11"},
        {"role": "user", "content": "5+6*7"},
    ]

    def text(messages: list[dict[str, str]]) -> str:
        made: str = tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True, **settings
        )
        return made

    assert text(turns[2:]) == f"<user>5+6*7<assistant>{end}"
    assert text(turns) == f"<user>5+6<assistant>#11<end><user>5+6*7<assistant>{end}"
    marks = tokenizer.convert_tokens_to_ids(["<think>", "</think>"])
    assert tokenizer.encode("<think>\n</think>") == [marks[0], *tokenizer.encode("\n"), marks[1]]
    assert tokenizer.decode(marks, skip_special_tokens=True) == "<think></think>"


@pytest.mark.slow
def test_the_model_thinks_until_two_tries_agree_and_answers() -> None:
    async def sampled() -> tuple[list[Sampled], list[Sampled], list[Sampled]]:
        full = await asyncio.gather(*(sampler.full(EASY.text, 4 * i) for i in range(8)))
        cut = [s.thought for s in full]
        caps = await asyncio.gather(
            *(sampler.capped(EASY.text, t, len(t) // 2, i) for i, t in enumerate(cut))
        )
        off = await asyncio.gather(*(sampler.off(EASY.text, i) for i in range(8)))
        return full, caps, off

    sampler = Sampler(BASE)
    full, caps, off = asyncio.run(sampled())
    # A small model errs at these rules, too, now and then.
    agreed = [
        found
        for sample in full
        if sample.ended
        and len(found := results(sampler.tokenizer, sample)) >= 2
        and found[-1] in found[:-1]
        and sample.answer == found[-1]
    ]
    assert len(agreed) >= 5
    assert sum(s.answer == EASY.answer for s in full) >= 4
    assert sum(s.answer == EASY.answer for s in caps) >= 2
    assert sum(s.answer == EASY.answer for s in off) >= 4
    assert np.mean([s.tokens for s in off]) < np.mean([s.tokens for s in full]) / 2
