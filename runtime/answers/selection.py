"""Choosing one answer among scored samples (sections 5.1 and 6.2)."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from math import isnan
from typing import get_args

import numpy as np

from allocator.errors import InputError
from allocator.plan import Selection
from predictors.sample import Sample

# What of an answer is voted on by itself, such as each of several calls of tools.
Parts = Callable[[str], Iterable[str]]


def select(
    samples: Sequence[Sample], how: Selection = "weighted", parts: Parts | None = None
) -> Sample:
    """The chosen sample: of the winning answer's samples, the one with the greatest score.

    Args:
        samples: scored samples of one prompt; equal answers must be equal strings.
        how: ``weighted`` sums the scores of all samples with the same answer (best-of-N
            weighted); of revision chains it chooses so within each chain, and then likewise
            among the chains' chosen ones (hierarchical, section 6.2). ``best`` takes the greatest
            single score, ``majority`` counts samples, scored or not. Samples without an answer
            lose to any that has one. Ties go to the greater score, then, of votes, to the answer
            of more samples, as where all scores are 0, and then to the earlier sample.
        parts: what of an answer is voted on by itself, see `answer_mass`; None for all of it.

    Raises:
        InputError: no samples, or an unknown way of selection.
    """
    if not samples:
        raise InputError("samples", 0, "selection needs at least one sample")
    if how not in get_args(Selection):
        raise InputError("selection", how, f"choose one of {', '.join(get_args(Selection))}")
    answered = _voters(samples, how)
    if how == "best":
        return answered[int(np.argmax([s.score for s in answered]))]
    mass, votes = answer_mass(answered, how, parts), Counter(s.answer for s in answered)
    ranks = [(mass[s.answer], _known(s), votes[s.answer]) for s in answered]
    return answered[max(range(len(answered)), key=lambda i: (*ranks[i], -i))]


def ranked(
    samples: Sequence[Sample], how: Selection = "weighted", parts: Parts | None = None
) -> list[Sample]:
    """All samples, best first: one of every answer as `select` chooses among them, then the others.

    Samples without an answer are among the others, after those of the same score. If none has an
    answer, the one that `select` chooses is first.

    Args:
        samples: as for `select`.
        how: likewise.
        parts: likewise.

    Raises:
        InputError: as `select`.
    """
    best, left = [select(samples, how, parts)], [s for s in samples if s.answer is not None]
    while left := [s for s in left if s.answer != best[-1].answer]:
        best.append(select(left, how, parts))
    rest = [s for s in samples if not any(s is b for b in best)]
    return best + sorted(rest, key=lambda s: (-_known(s), s.answer is None))


def weights(
    samples: Sequence[Sample], how: Selection, parts: Parts | None = None
) -> dict[str | None, float]:
    """The weight of each answer as `select` compares them; answers without a vote are left out.

    Args:
        samples: as for `select`.
        how: likewise; of ``best`` it is an answer's greatest score.
        parts: likewise.
    """
    voters = _voters(samples, how)
    if how == "best":
        return {s.answer: s.score for s in sorted(voters, key=lambda s: s.score)}
    return answer_mass(voters, how, parts)


def tied_answers(
    samples: Sequence[Sample], how: Selection, parts: Parts | None = None
) -> set[str | None]:
    """The answers that tie for the greatest weight; none where one leads alone.

    Args:
        samples: as for `select`.
        how: likewise.
        parts: likewise.
    """
    mass = weights(samples, how, parts)
    most = max(mass.values(), default=0.0)
    leading = {answer for answer, weight in mass.items() if weight == most}
    return leading if len(leading) > 1 else set()


def answer_mass(
    samples: Sequence[Sample], how: Selection, parts: Parts | None = None
) -> dict[str | None, float]:
    """Each answer's weight: its samples' scores in sum if ``weighted``, their number otherwise.

    Where parts of answers are voted on, it is the sum over the answer's parts: the weight of the
    samples that have the part, less the weight of those that do not. What more than half of the
    weight has counts for an answer, all else against it: the answer of the greatest sum differs
    least from all the samples.
    """
    mass: dict[str | None, float] = {}
    for sample in samples:
        weight = sample.score if how == "weighted" else 1.0
        mass[sample.answer] = mass.get(sample.answer, 0.0) + weight
    return mass if parts is None else _agreement(mass, parts)


def _agreement(mass: Mapping[str | None, float], parts: Parts) -> dict[str | None, float]:
    own = {answer: () if answer is None else tuple(parts(answer)) for answer in mass}
    having: dict[str, float] = defaultdict(float)
    for answer, weight in mass.items():
        for part in own[answer]:
            having[part] += weight
    total = sum(mass.values())
    return {answer: sum(2 * having[part] - total for part in own[answer]) for answer in mass}


def _known(sample: Sample) -> float:
    """A sample's score; below all others if it was not scored."""
    return -1.0 if isnan(sample.score) else sample.score


def _voters(samples: Sequence[Sample], how: Selection) -> list[Sample]:
    """The samples that vote: those with an answer, if any has; of a chain its chosen attempt."""
    if how == "weighted":
        samples = _best_of_chains(samples)
    return [s for s in samples if s.answer is not None] or list(samples)


def _best_of_chains(samples: Sequence[Sample]) -> list[Sample]:
    """Each chain's chosen attempt, in the order of the chains; what is in no chain stays."""
    chains: dict[int, list[Sample]] = {}
    for sample in samples:
        if sample.chain is not None:
            chains.setdefault(sample.chain, []).append(sample)
    alone = [sample for sample in samples if sample.chain is None]
    return alone + [_best_of_chain(chain) for chain in chains.values()]


def _best_of_chain(attempts: Sequence[Sample]) -> Sample:
    """A chain's chosen attempt itself, not a copy: `ranked` finds it again among the samples."""
    unchained = [replace(s, chain=None) for s in attempts]
    chosen = select(unchained)
    return next(s for s, copy in zip(attempts, unchained, strict=True) if copy is chosen)
