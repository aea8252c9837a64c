"""One cell of a data set or a log: text, a number, a truth value, or step scores.

Values come from JSON, Parquet or pandas, which write the same value differently: a whole number
beside missing ones becomes a float, a missing text becomes NaN. Each function raises `ValueError`
with what must hold; the caller adds the row.
"""

import json
from decimal import Decimal
from math import isfinite

# Floats represent every whole number up to this one.
EXACT = 2**53

TRUTH = {
    **dict.fromkeys(("true", "t", "yes", "y", "right", "correct", "1"), True),
    **dict.fromkeys(("false", "f", "no", "n", "wrong", "incorrect", "0"), False),
}


# Reasons to finish: the end token is also known by its name.
FINISHED = {"stop": True, "eos": True, "length": False}


def is_blank(value: object) -> bool:
    """Whether a cell holds nothing: null, NaN, or text of white space alone."""
    return value is None or value != value or (isinstance(value, str) and not value.strip())


def as_text(value: object) -> str:
    """A text, a number as text, or a truth value or an object as JSON.

    Whole numbers have no fraction: 5.0 is ``5``.

    Raises:
        ValueError: it is none of these.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, dict | bool):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list):  # may be alternatives, none of which would equal the whole list
        raise ValueError('must not be a list; write one as a text of JSON, "[1, 2]"')
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float | Decimal) and isfinite(value):
        whole = value == int(value) and -EXACT <= value <= EXACT
        return str(int(value)) if whole else str(value)
    raise ValueError("must be text, a finite number, true, false or a JSON object")


def as_answer(value: object) -> str | None:
    """A text as `as_text` has it; None where the cell is blank.

    Raises:
        ValueError: as `as_text`.
    """
    return None if is_blank(value) else as_text(value)


def as_truth(value: object) -> bool:
    """True or false, 1 or 0, or one of the usual words for them in either case.

    Raises:
        ValueError: it is none of these.
    """
    if isinstance(value, str):
        truth = TRUTH.get(value.strip().lower())
    elif isinstance(value, int | float | Decimal) and value in (0, 1):
        truth = bool(value)
    else:
        truth = None
    if truth is None:
        raise ValueError("must be true or false, 1 or 0, yes or no, right or wrong")
    return truth


def as_finished(value: object) -> bool:
    """Whether a sample ended by itself: a truth, or the ``finish_reason`` of vLLM and OpenAI."""
    if isinstance(value, str) and (ended := FINISHED.get(value.strip().lower())) is not None:
        return ended
    try:
        return as_truth(value)
    except ValueError as error:
        raise ValueError(f"{error}, or a finish_reason: stop or length") from None


def as_number(value: object) -> float:
    """A finite number, which may be written as text.

    Raises:
        ValueError: it is not a finite number.
    """
    try:
        if isinstance(value, int | float | Decimal | str) and "_" not in str(value):
            number = float(value)
            if isfinite(number):
                return number
    except (ValueError, OverflowError):
        pass
    raise ValueError("must be a finite number")


def as_tokens(value: object) -> float:
    """A number of sampled tokens. 0 is valid: an empty reply, its end token not counted.

    Raises:
        ValueError: it is not a finite number, or it is negative.
    """
    number = as_number(value)
    if number < 0:
        raise ValueError("must not be negative")
    return number


def as_logprob(value: object) -> float:
    """A log-probability.

    Raises:
        ValueError: it is not a finite number, or it is positive.
    """
    number = as_number(value)
    if number > 0:
        raise ValueError("must not be positive: it is the logarithm of a probability")
    return number


def as_scores(value: object) -> list[float]:
    """The scores of a solution's steps; of a solution scored as a whole, one.

    Raises:
        ValueError: there are none, or one is not a finite number.
    """
    scores = value if isinstance(value, list) else [value]
    if not scores:
        raise ValueError("must hold the score of at least one step")
    return [as_number(score) for score in scores]
