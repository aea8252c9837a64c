"""Fitting the policy over width and depth on logged thoughts.

Caps are chosen by cross-validation over questions: those whose price curve is highest on average.
What else was chosen so, on AIME 2024 with four Qwen3 models, stands on the page of results, beside
what it leads to on other contests (`benchmarks.replay`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from allocator.errors import InputError
from calibration.data.answer_codes import text_codes
from calibration.data.thoughts import Thoughts
from calibration.fitting.crossval import FOLDS
from calibration.fitting.thinking_search import CapChoice, CapSearch, Questions
from calibration.replay.cap_table import CapRow, cap_table
from calibration.replay.curves import Curve
from calibration.replay.parallel import one_blas_thread
from calibration.replay.thinking_curve import shuffles_of
from predictors.thinking_policy import ThinkingPolicy, TokenPrice

# Numbers of direct answers before them that are tried, where there are direct answers. None is too.
DIRECT = (2, 4, 8, 16, 32)
# Powers of the odds that are tried as votes, after the odds themselves.
POWERS = (0.5, 0.25)
# Caps tried: shares of the thoughts that have ended by then. No cap is tried too, or the limit.
ENDED = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True)
class FittedThinking:
    """A fitted policy over width and depth.

    Attributes:
        policy: fitted on every question.
        tried: what was compared.
        curve: accuracy and cost of each price on questions held out of the fit.
        caps: what each cap leads to without a policy.
    """

    policy: ThinkingPolicy
    tried: tuple[CapChoice, ...]
    curve: Curve
    caps: tuple[CapRow, ...]


def fit_thinking(
    thoughts: Thoughts,
    questions: Sequence[str] | None = None,
    groups: Sequence[str] | None = None,
    n_jobs: int | None = -1,
) -> FittedThinking:
    """Fit a policy on logged thoughts.

    Args:
        thoughts: the thoughts.
        questions: a name for each row of the thoughts; rows of one name are held out together.
            None where every row is another question.
        groups: the model that each row is of; all count the same. None for one model.
        n_jobs: see `calibration.replay.parallel`.

    Raises:
        InputError: fewer than 5 questions.
    """
    count = len(thoughts.answer)
    models = np.zeros(count, dtype=np.int64) if groups is None else text_codes(groups)
    held_out = _held_out(np.arange(count) if questions is None else text_codes(questions))
    known, caps = Questions(thoughts, held_out, models, n_jobs), candidates(thoughts)
    searches = [CapSearch(known, caps, direct) for direct in _direct_counts(thoughts)]
    tried = [(choice, search) for search in searches for choice in search.choices()]
    best, _ = max(tried, key=lambda pair: pair[0].accuracy)
    for power in POWERS:
        search = CapSearch(known, caps, best.direct, power)
        tried += [(choice, search) for choice in search.choices()]
    best, _ = max(tried, key=lambda pair: pair[0].accuracy)
    search = CapSearch(known, caps, best.direct, best.power, probed=False)
    tried += [(choice, search) for choice in search.choices()]
    best, search = max(tried, key=lambda pair: pair[0].accuracy)
    curve = search.curve(best.caps)
    with one_blas_thread():
        policy = search.policy(best.caps, known.everyone, search.scoring(known.everyone))
    points = [
        TokenPrice(price=price, tokens=float(tokens), accuracy=min(1.0, float(accuracy)))
        for price, tokens, accuracy in zip(
            search.prices, curve.tokens.mean(axis=1), curve.correct.mean(axis=1), strict=True
        )
    ]
    policy = policy.model_copy(update={"prices": tuple(points)})
    # A row's tokens are those of thoughts without probes, and so are its votes.
    capped = [thoughts.at_cap(cap, probed=False) for cap in caps]
    votes = known.votes(caps, capped, probed=False)
    rows = cap_table(caps, capped, votes, shuffles_of(count), n_jobs)
    return FittedThinking(policy, tuple(choice for choice, _ in tried), curve, tuple(rows))


def candidates(thoughts: Thoughts) -> list[int | None]:
    """The caps that are tried, ascending."""
    found = set[int]()
    for tokens in np.quantile(thoughts.tokens, ENDED):
        if len(thoughts.probes):
            found.add(int(thoughts.probes[np.abs(thoughts.probes - tokens).argmin()]))
    return [*sorted(found - {thoughts.limit}), thoughts.limit]


def _held_out(names: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The rows of each fold; rows of one name are in one fold."""
    distinct = int(names.max()) + 1
    if distinct < FOLDS:
        raise InputError("questions", distinct, f"at least {FOLDS} are needed to fit a policy")
    return [np.flatnonzero(names % FOLDS == fold) for fold in range(FOLDS)]


def _direct_counts(thoughts: Thoughts) -> list[int]:
    """Numbers of direct answers to try."""
    ready = 0 if thoughts.direct is None else thoughts.direct.answer.shape[1]
    return [0, *(count for count in DIRECT if count <= ready)]
