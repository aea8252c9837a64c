"""Fitting how thoughts and direct answers vote, by comparing right and wrong ones of a question."""

from collections.abc import Sequence

import numpy as np

from calibration.data.answer_codes import CORRECT, UNANSWERED
from calibration.data.thoughts import Capped, DirectAnswers
from calibration.fitting.scoring import NothingToLearnError, WithinQuestions
from calibration.replay.parallel import one_blas_thread
from predictors.branches import DECIMALS, BranchScoring, branch_columns
from predictors.transforms import sqrt_nll


def fit_branch_scoring(
    capped: Sequence[Capped], direct: DirectAnswers | None = None
) -> BranchScoring:
    """How thoughts vote, fitted within questions on thoughts under several caps at once.

    Thoughts are compared with those of the same question under the same cap, as they are in a run,
    and with the question's direct answers. Where no question has both correct and incorrect
    answers, all votes weigh the same.

    Args:
        capped: the thoughts under each cap.
        direct: answers to the same questions without a thought; None for none.
    """
    thoughts = [
        branch_columns(under.depth, under.first, under.finished, under.nll) for under in capped
    ]
    # Direct answers have the columns of the mean thought, and two of their own.
    mean = np.mean([found.mean(axis=(0, 1)) for found in thoughts], axis=0)
    if direct is not None:
        own = np.full((*direct.answer.shape, len(mean) + 2), [*mean, 1.0, 0.0])
        own[..., -1] = sqrt_nll(direct.nll)
    columns, right, questions = [], [], []
    for number, (under, found) in enumerate(zip(capped, thoughts, strict=True)):
        answer, found = under.answer, np.pad(found, ((0, 0), (0, 0), (0, 2)))
        if direct is not None:
            answer = np.hstack([direct.answer, answer])
            found = np.hstack([own, found])
        voting = answer != UNANSWERED
        columns.append(found[voting])
        right.append(answer[voting] == CORRECT)
        owner = np.arange(len(voting)) + number * len(voting)
        questions.append(np.broadcast_to(owner[:, None], voting.shape)[voting])
    try:
        with one_blas_thread():
            model = WithinQuestions().fit(
                np.concatenate(columns),
                np.concatenate(right),
                np.concatenate(questions),
            )
    except NothingToLearnError:
        return BranchScoring()
    *weights, without, probable = model.coef_.tolist()
    log_depth, unfinished, log_first, natural = np.round(weights, DECIMALS).tolist()
    return BranchScoring(
        intercept=round(model.intercept_, DECIMALS),
        log_depth=log_depth,
        unfinished=unfinished,
        log_first=log_first,
        sqrt_nll=natural,
        direct=0.0 if direct is None else round(without + float(mean @ weights), DECIMALS),
        direct_sqrt_nll=round(probable, DECIMALS),
    )
