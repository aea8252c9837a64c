"""Sampled records as thoughts: they cost what was sampled."""

from collections.abc import Sequence
from dataclasses import replace
from math import nan

import numpy as np
import pytest

from allocator.plan import Plan
from calibration.fitting.recorded_thoughts import recorded_thoughts
from calibration.fitting.thinking import candidates, fit_thinking
from calibration.replay.thinking_curve import policy_runs
from calibration.sampling.collect import PlanRun, PromptRecord
from predictors.branches import Branch
from predictors.sample import Sample
from predictors.thinking_state import STATE_NAMES, state_of

CAP, ANSWER, FORCED = 100, 50, 7


def sampled(answer: str, thinking: int, after: int, forced: bool = False) -> Sample:
    tokens = ((0,) * (thinking + after),)
    return Sample(tokens, "", answer, (), nan, -1.0, True, thinking=thinking, forced=forced)


def run_of(samples: Sequence[Sample]) -> PlanRun:
    right = tuple(sample.answer == "1" for sample in samples)
    return PlanRun(tuple(samples), right, sum(sample.tokens for sample in samples))


def recorded(questions: int = 10, samples: int = 6) -> list[PromptRecord]:
    """Thoughts of 40 to 240 tokens, answers of 50 after them, and of 7 where they are forced."""
    rng, records = np.random.default_rng(0), []
    for question in range(questions):
        lengths = rng.integers(40, 241, samples).tolist()
        answers = ["1" if rng.random() < 1 - question / questions else "2" for _ in lengths]
        whole = [sampled(a, n, ANSWER) for a, n in zip(answers, lengths, strict=True)]
        capped = [
            one if (one.thinking or 0) <= CAP else sampled("2", CAP, FORCED, forced=True)
            for one in whole
        ]
        searches = {Plan(strategy="best_of_n", n=samples, thinking=CAP): run_of(capped)}
        records.append(PromptRecord(f"q{question}", "1", 5, run_of(whole), (searches,)))
    return records


@pytest.mark.parametrize("cap", [CAP, None])
def test_a_recorded_thought_costs_all_its_tokens(cap: int | None) -> None:
    records = recorded()
    runs = [r.independent if cap is None else next(iter(r.repeats[0].values())) for r in records]
    under = recorded_thoughts(records, [CAP, None]).at_cap(cap, probed=False)
    assert under.cost.tolist() == [[sample.tokens for sample in run.samples] for run in runs]


def test_a_thought_that_max_tokens_cut_off_at_the_cap_has_the_answer_forced_there() -> None:
    cut = replace(sampled("", CAP, 0), answer=None, ended=False)
    ended, forced = sampled("1", CAP, ANSWER), sampled("1", CAP, FORCED, forced=True)
    searches = {Plan(strategy="best_of_n", n=2, thinking=CAP): run_of([forced, ended])}
    record = PromptRecord("q", "1", 5, run_of([cut, ended]), (searches,))
    thoughts = recorded_thoughts([record], [CAP, None])
    under = thoughts.at_cap(CAP, probed=False)
    assert under.answer.tolist() == [[0, 0]]
    assert under.finished.tolist() == [[False, True]]
    assert under.cost.tolist() == [[CAP + FORCED, CAP + ANSWER]]
    assert thoughts.at_cap(None, probed=False).answer.tolist() == [[-1, 0]]


def test_without_whole_thoughts_among_the_depths_the_largest_cap_is_the_last() -> None:
    records = recorded()
    assert recorded_thoughts(records, [CAP, None]).limit is None
    capped = recorded_thoughts(records, [CAP])
    assert candidates(capped) == [CAP]


@pytest.mark.slow
def test_the_policy_of_recorded_thoughts_counts_their_answers_online_too() -> None:
    thoughts = recorded_thoughts(recorded(), [CAP, None])
    policy = fit_thinking(thoughts, n_jobs=1).policy
    assert policy.answer_tokens == ANSWER
    runs = policy_runs(policy, thoughts, 1)
    under = thoughts.at_cap(policy.caps[-1], bool(policy.probes))
    each = policy.probe_tokens, policy.answer_tokens
    found = [
        state_of(
            [Branch("1", int(depth), 1, "finished" if finished else "capped", 1.0)],
            policy.scoring,
            policy.probes,
            *each,
        )[STATE_NAMES.index("tokens")]
        for depth, finished in zip(under.depth.flat, under.finished.flat, strict=True)
    ]
    assert found == under.cost.ravel().tolist()
    # Every run through all stages has sampled all thoughts of its question.
    assert runs.tokens[:, 0, -1, -1] == pytest.approx(under.cost.sum(axis=1))
