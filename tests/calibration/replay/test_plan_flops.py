"""FLOPs of replayed plans, by hand: twice the parameters for each token."""

from collections.abc import Sequence

import pytest

from allocator.flops import ModelSizes
from allocator.plan import Plan
from allocator.schedule import schedule_of
from calibration.replay.replay import Replay
from calibration.sampling.collect import PlanRun, PromptRecord
from tests.support.plans import best_of
from tests.support.samples import make_sample

SIZES = ModelSizes(model=1, verifier=10)
REVISING = SIZES.model_copy(update={"reviser": 100, "reviser_verifier": 1000})
BEAMS = Plan(strategy="beam_search", n=2, beam_width=2)
CHAINS = Plan(strategy="revisions", n=4, length=2)
BOTH = Plan(strategy="beam_revisions", n=4, beam_width=2, length=2)


def run_of(answers: Sequence[str], lost: int = 0) -> PlanRun:
    """Solutions of three tokens each; a search also samples tokens of beams that it drops."""
    samples = tuple(make_sample(answer, 0.5) for answer in answers)
    return PlanRun(samples, (True,) * len(samples), sum(s.tokens for s in samples) + lost)


def replay_of(answers: str = "aabc", sizes: ModelSizes | None = SIZES) -> Replay:
    searches = {BEAMS: run_of("ab", 9), CHAINS: run_of("abab"), BOTH: run_of("abab", 9)}
    record = PromptRecord("prompt", "a", 5, run_of(answers), (searches,))
    return Replay([record], 4, replicates=1, sizes=sizes)


def tokens_of(replay: Replay) -> int:
    """Of one solution; all are of the same length."""
    return replay.records[0].independent.samples[0].tokens


@pytest.mark.parametrize(
    ("plan", "pilots", "sampled", "read"),
    [
        (best_of(4), 0, 4, 4),
        (best_of(1), 0, 1, 0),  # a single solution is not scored,
        (best_of(1), 1, 1, 1),  # but a pilot is
        (best_of(1), 2, 2, 2),
        (best_of(3, "majority"), 0, 3, 0),
        (best_of(4, "majority"), 1, 4, 1),
        (best_of(4, "best"), 2, 4, 4),
    ],
)
def test_best_of_n(plan: Plan, pilots: int, sampled: int, read: int) -> None:
    replay = replay_of()
    each = tokens_of(replay)
    expected = 2 * each * sampled + 20 * each * read
    assert replay.outcome(plan, pilots).flops.tolist() == [[expected]]
    assert replay.mixed_outcome([[plan]], pilots).flops.tolist() == [[expected]]


def test_a_majority_scores_answers_that_tie_for_the_lead() -> None:
    replay = replay_of("abba")
    each = tokens_of(replay)
    tied = replay.outcome(best_of(4, "majority"), 0).flops.item()
    assert tied == 2 * each * 4 + 20 * each * 4
    led = replay_of("abbc").outcome(best_of(4, "majority"), 0).flops.item()
    assert led == 2 * each * 4
    two = replay_of("aabb").outcome(best_of(3, "majority"), 0).flops.item()
    assert two == 2 * each * 3
    # Without a verifier nothing is scored, and those that tie share the win.
    assert replay.majority(4).flops.item() == 2 * each * 4


def test_a_search_scores_every_token_once() -> None:
    replay = replay_of()
    each = tokens_of(replay)
    found = replay.outcome(BEAMS, 2)
    assert found.tokens.item() == 2 * each + 2 * each + 9
    assert found.flops.item() == 22 * found.tokens.item()


@pytest.mark.parametrize("pilots", [0, 3])
def test_later_attempts_are_the_revisers(pilots: int) -> None:
    replay = replay_of(sizes=REVISING)
    each = tokens_of(replay)
    beside = max(0, pilots - 2)
    first, later = 2 * each * (22 + 2000), 2 * each * (200 + 2000)
    assert replay.outcome(CHAINS, pilots).flops.item() == first + later + beside * each * 22
    # What beam search drops is scored by the verifier alone.
    expected = first + later + 9 * 22 + pilots * each * 22
    assert replay.outcome(BOTH, pilots).flops.item() == expected


def test_the_reviser_may_share_the_verifier() -> None:
    replay = replay_of(sizes=REVISING.model_copy(update={"reviser_verifier": None}))
    each = tokens_of(replay)
    assert replay.outcome(CHAINS, 0).flops.item() == 2 * each * 22 + 2 * each * (200 + 20)


def test_an_adaptive_run_scores_every_sample() -> None:
    runs = replay_of().adaptive_runs(schedule_of(4))
    assert runs.flops.tolist() == (22 * runs.tokens).tolist()
    assert runs.flops.all()


def test_without_sizes_there_are_no_flops() -> None:
    replay = replay_of(sizes=None)
    outcomes = [replay.outcome(plan, 1) for plan in (best_of(4), best_of(1), BEAMS, CHAINS)]
    assert not any(outcome.flops.any() for outcome in (*outcomes, replay.majority(2)))
    assert not replay.adaptive_runs(schedule_of(4)).flops.any()
