"""A step end that never occurs is noticed before a search, or a PRM's rollouts, are paid for."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from allocator.errors import InputError
from allocator.plan import Strategy
from benchmarks.testbed.paths import BASE, SETTINGS
from benchmarks.testbed.task import distinct_problems
from calibration.calibrate import calibrate
from calibration.fitting.fit import Calibration
from calibration.report.summary import Summary
from calibration.sampling.collect import Work
from calibration.sampling.collectors import LocalCollector
from calibration.sampling.resume import UNFINISHED
from calibration.sampling.steps import PROMPTS as STEP_PROMPTS
from calibration.sampling.steps import missing_steps, steps_of
from calibration.settings import CalibrationSettings, ScoringChoice
from calibration.training.journal import Journal
from calibration.training.recipes import Source, prm_recipe
from calibration.training.settings import LabelSettings, VerifierSettings
from runtime.engines.base import SamplingSettings
from runtime.settings import Settings
from tests.support.samples import make_sample

PROMPTS = [(p.text, p.answer) for p in distinct_problems("calibration", 24, seed=31)]
# The testbed ends its steps with one newline, not with the default's two.
DEFAULT_END = SETTINGS.model_copy(update={"sampling": SamplingSettings(max_tokens=160)})


def test_few_with_steps_are_as_good_as_none() -> None:
    lines = ["a\nb\nc"] * 100
    assert missing_steps([1] * 89 + [2] * 11, lines, "\n\n") is None
    assert missing_steps([1] * 90 + [2] * 10, lines, "\n\n") is None
    found = missing_steps([1] * 91 + [2] * 9, lines, "\n\n")
    assert found == (
        "9 of 100 sampled solutions have more than one step; the median would be 3 with "
        r"'\n' as step end"
    )


def test_what_the_samples_have_is_proposed() -> None:
    texts = ["One. Two; three.\n\nFour. Five.", "One. Two; three.\n\nFour", "One"]
    found = missing_steps([1, 1, 1], texts, "###")
    assert found is not None
    assert r"would be 2 with '\n\n', 2 with '\n', 2 with '. ', 2 with '; ' as step end" in found
    found = missing_steps([1], ["14"], "\n")
    assert found is not None
    assert found.endswith(r"would not with '\n\n' or '。' or '. ' or '; ' as step end")


def test_an_end_of_sequence_alone_is_no_step() -> None:
    ended = make_sample("1", 0.5, steps=[(1, 2), (3,)])
    assert steps_of(ended) == 1
    assert steps_of(make_sample("1", 0.5, steps=[(1, 2), (3, 4)])) == 2


def run_calibration(
    out: Path,
    strategies: tuple[Strategy, ...] = ("best_of_n", "beam_search"),
    scoring: ScoringChoice = "fitted",
    settings: Settings = DEFAULT_END,
) -> Calibration:
    return asyncio.run(
        calibrate(
            PROMPTS,
            settings,
            out,
            CalibrationSettings(
                budgets=(1, 2, 4),
                pilots=(1,),
                n_bins=1,
                seed=0,
                strategies=strategies,
                scoring=scoring,
                runs=1,
            ),
            engine="transformers",
        )
    )


@pytest.mark.slow
@pytest.mark.parametrize(("scoring", "prompts"), [("fitted", 24), ("verifier", STEP_PROMPTS)])
def test_no_search_of_solutions_without_steps_is_sampled(
    scoring: ScoringChoice, prompts: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampled: list[tuple[int, Work]] = []
    collect = LocalCollector.collect

    async def noted(self: LocalCollector, prompts: Any, work: Work, *rest: Any) -> None:
        sampled.append((len(prompts), work))
        await collect(self, prompts, work, *rest)

    monkeypatch.setattr(LocalCollector, "collect", noted)
    with pytest.raises(InputError, match="more than one step; the median would be") as raised:
        run_calibration(tmp_path / "artifact", scoring=scoring)
    assert raised.value.field == "step_end"
    assert r"with '\n' as step end. Without steps" in raised.value.hint
    assert raised.value.hint.endswith("choose another --step-end, or --strategies best_of_n")
    assert [(count, work.plans) for count, work in sampled] == [(prompts, ())]
    # What was sampled is kept, and nothing besides.
    kept = tmp_path / "artifact.samples"
    assert list(tmp_path.iterdir()) == [kept]
    assert len(list((kept / UNFINISHED).iterdir())) == prompts
    # Another step end begins anew: it is not refused for the samples of this one.
    made = run_calibration(
        tmp_path / "artifact", settings=SETTINGS, scoring=scoring, strategies=("best_of_n",)
    )
    assert made.table.rows


@pytest.mark.slow
def test_best_of_n_needs_no_steps_and_says_so(tmp_path: Path) -> None:
    out = tmp_path / "artifact"
    made = run_calibration(out, strategies=("best_of_n",))
    (note,) = [text for text in made.warnings if "more than one step" in text]
    assert note.endswith("the verifier scores the others at their end alone")
    assert note in Summary.load(out).warnings


@pytest.mark.slow
def test_a_prm_is_not_trained_of_solutions_without_steps(tmp_path: Path) -> None:
    out = tmp_path / "prm"
    source = Source(
        model=BASE,
        answers=SETTINGS.answers,
        sampling=DEFAULT_END.sampling,
        engine="transformers",
    )
    training = prm_recipe(source, PROMPTS, out, LabelSettings(samples=2), VerifierSettings())
    with pytest.raises(InputError, match=r"this trains an ORM: .* or ttc train orm") as raised:
        asyncio.run(training)
    assert raised.value.field == "step_end"
    assert not out.exists()
    # Nothing was sampled for it: the same command with another step end is not refused.
    journal = Journal(tmp_path / "prm.samples.jsonl", {"step_end": "\n"})
    assert journal.places == {}
    journal.add(0, [])
    journal.close()
    with pytest.raises(InputError, match="it was begun with"):
        Journal(tmp_path / "prm.samples.jsonl", {"step_end": "\n\n"})
