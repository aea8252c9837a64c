r"""The canonical key of an answer: two answers are equal exactly if their keys are.

A key depends on its own answer alone, so equality is an equivalence, in whatever order answers
arrive. An answer is taken apart by its structure: lists, sets, tuples, intervals, relations,
matrices. What is left are leaves: numbers, compared exactly; words, compared letter by letter; and
expressions, whose keys `runtime.answers.symbolic` computes.

A bare list is a set (``1, 2`` is ``\{2, 1\}``), ``x = 5`` is 5, and an inequality in one variable
is its interval. Tuples, sets and intervals differ, and so do numerals of different bases.
"""

import hashlib
import re
from collections.abc import Callable, Sequence
from fractions import Fraction

from runtime.answers.notation import (
    is_function,
    latex,
    number,
    without_thousands,
    without_unit,
    words,
)

Leaf = Callable[[str], str]

LONG_KEY = 160
OPENING, CLOSING = "([{", ")]}"

_MATRIX = re.compile(r"\\begin\{([pbvBV]?matrix)\}(.*)\\end\{\1\}", re.DOTALL)
_SMALL = re.compile(r"[0-9a-f]{1,3}/1")
_ROW = re.compile(r"\\\\|\\(?![A-Za-z{}])")  # some copies of MATH have lost a backslash
_BASE = re.compile(r"(\d+)\s*_\s*(?:\{\s*(\d+)\s*\}|(\d+))")
_INFINITY = re.compile(r"([+-]?)\s*(?:\\infty|inf|infinity|oo)", re.IGNORECASE)
_RELATION = re.compile(r"\\(?:le|ge|ne|approx|in)(?![A-Za-z])|[=<>]")
_VALUED = {"=", r"\approx", r"\in"}
_LESS, _GREATER = {"<": "<", r"\le": r"\le"}, {">": "<", r"\ge": r"\le"}
# What an equation names rather than restricts: x, x_1, f(3), P(A), AB, \theta, \angle ABC, area.
_NAME = re.compile(
    r"(?:\\?[A-Za-z]|\\(?!frac|sqrt)[A-Za-z]+|[A-Z]{2,}|[A-Za-z]{3,}|m?\s*\\angle\s*[A-Z]+"
    r"|\\overline\{[A-Z]+\})\s*(?:_\s*\{?\w+\}?)?'*\s*(?:\(\s*\w+(?:\s*[,|]\s*\w+)*\s*\))?"
)
_COMMAND = re.compile(r"\\(?:frac|sqrt|binom|cdot|times|div|pi)(?![A-Za-z])")


def canonical_key(answer: str, leaf: Leaf) -> str:
    """The key of an answer.

    Args:
        answer: as it stands in a solution.
        leaf: gives the key of an expression in LaTeX, or of an equation of two.
    """
    return _key(latex(answer), leaf)


def _key(text: str, leaf: Leaf) -> str:
    text = without_thousands(without_unit(_without_braces(text.strip())))
    if (value := number(text)) is not None:
        return rational_key(value)
    for find in (_list, _union, _matrix, _plus_minus, _relation, _enclosed):
        if (found := find(text, leaf)) is not None:
            return found
    if base := _BASE.fullmatch(text):
        return f"base({base[1].lstrip('0')},{base[2] or base[3]})"
    if infinity := _INFINITY.fullmatch(text):
        return "-infinity" if infinity[1] == "-" else "infinity"
    return text_key(text) if _is_text(text) else leaf(text)


def rational_key(value: Fraction) -> str:
    """The key of a rational number."""
    return short(f"{value.numerator:x}/{value.denominator:x}")


def text_key(text: str) -> str:
    """The key of words: spaces say nothing, nor does a capital that only begins a word."""
    spelled = re.sub(
        r"[A-Za-z]{2,}",
        lambda word: word[0].lower() if word[0][1:].islower() else word[0],
        text,
    )
    return f"text({short(''.join(spelled.split()))})"


def short(text: str) -> str:
    """A text itself; of a long one its hash."""
    if len(text) <= LONG_KEY:
        return text
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _is_text(text: str) -> bool:
    """Whether a leaf is words, or a capital that names a choice, and no expression."""
    if words(text) or re.search(r":|(?<![A-Za-z\\])[A-Z][a-z]{2}|^[A-Z]$", text):
        return True
    if re.fullmatch(r"[A-Za-z]?", text):
        return not text
    letters_alone = re.fullmatch(r"[A-Za-z\s.,']*", text) is not None
    return letters_alone and not all(map(is_function, re.findall(r"[A-Za-z]+", text)))


def _set(keys: Sequence[str]) -> str:
    """A set's key. Of one element it is the element's own, for the only solution is the solution.

    ``45, 135`` may also be written ``45,135``, which is a number: both get the number's key.
    """
    if len(keys) == 1:
        return keys[0]
    if all(_SMALL.fullmatch(key) for key in keys):
        first, *others = sorted(int(key.removesuffix("/1"), 16) for key in keys)
        if first < 1000 and all(100 <= other < 1000 for other in others):
            return rational_key(Fraction(int("".join(map(str, (first, *others))))))
    return f"set({','.join(sorted(keys))})"


def _list(text: str, leaf: Leaf) -> str | None:
    """A bare list: ``1, 2``; ``x = 1, x = 2``; ``x = 1, y = 2``, where the names matter."""
    parts = [part.strip() for comma in split(text, ",") for part in split(comma, ";")]
    if len(parts) < 2 or not all(parts):
        return None
    named = [_named(part) for part in parts]
    if len({name for name, _ in named if name}) > 1:
        return _set([f"{name}={_key(value, leaf)}" for name, value in named])
    if all(any(s[0] in _LESS | _GREATER for s in _RELATION.finditer(part)) for part in parts):
        return _union_of(parts, leaf)
    return _set([_key(value, leaf) for _, value in named])


def _named(part: str) -> tuple[str, str]:
    """The name that a part of a list gives a value, empty where it gives none, and the value."""
    name, equals, value = part.partition("=")
    if equals and _NAME.fullmatch(name.strip()) and not _RELATION.search(value):
        return "".join(name.split()), value
    return "", part


def _union(text: str, leaf: Leaf) -> str | None:
    parts = split(text, r"\cup")
    return _union_of(parts, leaf) if len(parts) > 1 else None


def _union_of(parts: Sequence[str], leaf: Leaf) -> str:
    return f"union({','.join(sorted(_key(part, leaf) for part in parts))})"


def _matrix(text: str, leaf: Leaf) -> str | None:
    if (found := _MATRIX.fullmatch(text)) is None:
        return None
    rows = [row.split("&") for row in _ROW.split(found[2]) if row.strip()]
    kind = found[1] if found[1][0] in "vV" else "matrix"  # a determinant, or a norm
    return f"{kind}({';'.join(','.join(_key(cell, leaf) for cell in row) for row in rows)})"


def _plus_minus(text: str, leaf: Leaf) -> str | None:
    if not re.search(r"\\(?:pm|mp)(?![A-Za-z])", text):
        return None
    plus = text.replace(r"\pm", "+").replace(r"\mp", "-")
    minus = text.replace(r"\pm", "-").replace(r"\mp", "+")
    return _set([_key(signed.lstrip("+ "), leaf) for signed in (plus, minus)])


def _relation(text: str, leaf: Leaf) -> str | None:
    """An equation or inequality; where it gives a name its value, the value."""
    signs = [sign for sign in _RELATION.finditer(text) if not _depth(text[: sign.start()])]
    if not signs:
        return None
    starts, ends = [0, *(s.end() for s in signs)], [*(s.start() for s in signs), len(text)]
    sides = [text[start:end].strip() for start, end in zip(starts, ends, strict=True)]
    relations = [sign[0] for sign in signs]
    if not all(sides):
        return None
    if set(relations) <= _VALUED:
        if _NAME.fullmatch(sides[0]) or len(sides) > 2 or _is_calculation(sides):
            return _key(sides[-1], leaf)
        return _key(sides[0], leaf) if _NAME.fullmatch(sides[1]) else leaf("=".join(sides))
    if all(relation in _GREATER for relation in relations):
        sides.reverse()
        relations = [_GREATER[relation] for relation in reversed(relations)]
    return _interval(sides, relations, leaf) or "related({})".format(
        ",".join([_key(side, leaf) for side in sides] + relations)
    )


def _is_calculation(sides: Sequence[str]) -> bool:
    """Whether no side has a variable: ``7^3 = 343`` is 343."""
    return not any(
        not is_function(name)
        for side in sides
        for name in re.findall(r"[A-Za-z]+|\\", _COMMAND.sub(" ", side))
    )


def _interval(sides: list[str], relations: list[str], leaf: Leaf) -> str | None:
    """Ascending bounds of one variable as an interval: ``x \\le 3``, ``1 < x \\le 3``."""
    if not all(relation in _LESS for relation in relations) or len(sides) > 3:
        return None
    if len(sides) == 2 and _NAME.fullmatch(sides[0]):
        sides, relations = [r"-\infty", *sides], ["<", *relations]
    elif len(sides) == 2 and _NAME.fullmatch(sides[1]):
        sides, relations = [*sides, r"\infty"], [*relations, "<"]
    if len(sides) < 3 or not _NAME.fullmatch(sides[1]):
        return None
    opening = "(" if relations[0] == "<" else "["
    closing = ")" if relations[1] == "<" else "]"
    return f"{opening}{_key(sides[0], leaf)},{_key(sides[2], leaf)}{closing}"


def _enclosed(text: str, leaf: Leaf) -> str | None:
    r"""What brackets enclose: ``(1, 2]``, ``\{1, 2\}``, ``\langle 1, 2\rangle``, ``(x + 1)``."""
    if re.fullmatch(r"\\(?:emptyset|varnothing)|\\\{\s*\\\}", text):
        return "set()"
    if text.startswith(r"\{") and text.endswith(r"\}"):
        inside = text[2:-2]
        return _set(sorted({_key(part, leaf) for part in split(inside, ",")}))
    if text.startswith(r"\langle") and text.endswith(r"\rangle"):
        text = "(" + text.removeprefix(r"\langle").removesuffix(r"\rangle") + ")"
    if text[:1] not in ("(", "[") or _closing(text) != len(text) - 1:
        return None
    parts = split(text[1:-1], ",")
    if len(parts) == 1 and text[0] == "(" and text[-1] == ")":
        return _key(parts[0], leaf)
    return f"{text[0]}{','.join(_key(part, leaf) for part in parts)}{text[-1]}"


def _without_braces(text: str) -> str:
    while text.startswith("{") and _closing(text) == len(text) - 1:
        text = text[1:-1].strip()
    return text


def _depth(text: str) -> int:
    """How many brackets a text leaves open."""
    return sum((letter in OPENING) - (letter in CLOSING) for letter in text)


def _closing(text: str) -> int:
    """The place of the bracket that closes the first one; -1 where none does."""
    depth = 0
    for place, letter in enumerate(text):
        depth += (letter in OPENING) - (letter in CLOSING)
        if depth == 0:
            return place
    return -1


def split(text: str, separator: str) -> list[str]:
    """The parts of a text between separators that stand outside of all brackets."""
    parts, depth, start, place = [], 0, 0, 0
    while place < len(text):
        depth += (text[place] in OPENING) - (text[place] in CLOSING)
        if depth == 0 and text.startswith(separator, place):
            parts.append(text[start:place])
            start = place = place + len(separator)
        else:
            place += 1
    return [*parts, text[start:]]
