r"""Answers in plain LaTeX: without what only sets them, and with plain notation translated.

A percent, degree or currency sign and a unit are notation, too: ``10\%`` is 10, as MATH has it.
"""

import re
from fractions import Fraction

# A longer number is not a plausible answer, and takes long to compute with.
MAX_DIGITS = 4000
MAX_EXPONENT = 4000

# Names of formulas; other words make an answer a text.
FUNCTIONS = (
    "sin|cos|tan|cot|sec|csc|arcsin|arccos|arctan|sinh|cosh|tanh|exp|log|ln|sqrt|pi|inf|infinity|"
    "min|max|gcd|lcm|mod|det|deg"
)
# Words after a number that are not its unit: a function's name is one only where it is short for
# minutes, seconds or degrees, and some letters are variables or the imaginary unit. ``am`` and
# ``pm`` tell times apart.
_NOT_UNITS = re.compile(
    rf"\b(?!(?:min|sec|deg)\b)(?:{FUNCTIONS}|[eijknxyz])\b|"
    r"\b[ap]\.?\s?m\b|\b(?:or|and|to|than|more|less|least|most|not|base|if|when|where|with|for|is|"
    r"dozen|hundred|thousand|million|billion|trillion)\b",
    re.IGNORECASE,
)
_SHORT_UNITS = "cm|mm|km|dm|ft|in|yd|mi|kg|mg|lb|lbs|oz|ml|hr|hrs|sq|cu|mph"

ASCII = str.maketrans(
    {
        "−": "-",
        "–": "-",
        "×": r"\times ",
        "·": r"\cdot ",
        "⋅": r"\cdot ",
        "÷": "/",
        "⁄": "/",
        "π": r"\pi ",
        "θ": r"\theta ",
        "∞": r"\infty ",
        "√": r"\sqrt ",
        "≤": r"\le ",
        "≥": r"\ge ",
        "≠": r"\ne ",
        "≈": r"\approx ",
        "∈": r"\in ",
        "∪": r"\cup ",
        "±": r"\pm ",
        "⟨": r"\langle ",
        "⟩": r"\rangle ",
        "°": "",
        "²": "^{2}",
        "³": "^{3}",
        "½": r"\frac{1}{2}",
        "¼": r"\frac{1}{4}",
        "¾": r"\frac{3}{4}",
        "\u00a0": " ",
        "\u202f": " ",
    }
)
# The commands that only set what they hold.
SETTING = r"\\(?:text(?:bf|it|rm|normal)?|mbox|mathrm|mathbf|mathit|operatorname)\s*"
_BOX = rf"{SETTING}\{{([^{{}}]*)\}}"
# In the order in which they apply.
_REWRITTEN = [
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\\\\(?=[{}$%])", r"\\"),
        (r"\\(?:left|right|[bB]igg?[lr]?)(?![A-Za-z])", ""),
        (r"(?<=\d)\s*(?:,\s*\\!|\\!\s*,|\{,\}|\\,)\s*(?=\d{3}(?!\d))", ""),
        (r"(?<=\d)(?<!\d{4})(?:\\[;:> ]|[ ~])(?=\d{3}(?![\d/]))", ""),
        (r"(?<!\\)\\[!,;:> ]|\\q?quad(?![A-Za-z])|~", " "),
        (r"\\?\$|[€£¥₹]", ""),
        (r"\\?%|\^\s*\{?\s*\\(?:circ|degree)\s*\}?|\\(?:degree|circ)(?![A-Za-z])", ""),
        (r"\\[dtc]frac", r"\\frac"),
        (r"\\l(?:eq|eqslant)(?![A-Za-z])|<=|≤", r"\\le "),
        (r"\\g(?:eq|eqslant)(?![A-Za-z])|>=", r"\\ge "),
        (r"\\neq(?![A-Za-z])|!=", r"\\ne "),
        (r"\\lt(?![A-Za-z])", "<"),
        (r"\\gt(?![A-Za-z])", ">"),
        (r"\*\*", "^"),
    )
]
_MEASURES = re.compile(rf"{_BOX}\s*\d")  # 3\text{ hours }20\text{ minutes}
_UNIT_BOX = re.compile(rf"(?:(?<=[\d}})])|(?<=\\pi))\s*{_BOX}(?:\s*\^\s*\{{?\s*\d\s*\}}?)?")
_UNIT = re.compile(
    rf"(.*[\d}})])(\s+[A-Za-z]{{3}}[A-Za-z.\s/^{{}}23]*|\s*(?:{_SHORT_UNITS})(?![A-Za-z])[A-Za-z.\s/^{{}}23]*)"
)
_HALF_DAY = re.compile(r"(\d)\s*([ap])(?:\.\s*m\b\.?|m\b)", re.IGNORECASE)  # 5 p.m., 5PM, 5 pm
_JOIN = re.compile(r"\s*,?\s*(?<![A-Za-z\\])(?:and|or)(?![A-Za-z])\s*", re.IGNORECASE)
_WORD = re.compile(r"(?<![^\s(\[{,])[A-Za-z]{3,}(?![^\s)\]},.!?;:'-])")
_THOUSANDS = re.compile(r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?![\d,])")

_NUMBER = re.compile(r"(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d{1,5}))?")
_REPEATING = re.compile(r"(\d*)\.(\d*)\\overline\s*(?:\{(\d+)\}|(\d))")
_SLASH = re.compile(r"(?:(\d+)\s+)?(\d+)\s*/\s*(\d+)")
_FRACTION = re.compile(r"(\d+)?\s*\\frac\s*(?:\{\s*(-?\d+)\s*\}|(\d))\s*(?:\{\s*(-?\d+)\s*\}|(\d))")


def latex(answer: str) -> str:
    """An answer in plain LaTeX.

    Args:
        answer: as it stands in a solution.
    """
    text = tidy(answer.translate(ASCII))
    for pattern, replacement in _REWRITTEN:
        text = pattern.sub(replacement, text)
    if not _MEASURES.search(text):
        text = _UNIT_BOX.sub(lambda box: "" if _are_units(box[1]) else box[0], text)
    text = " ".join(re.sub(_BOX, r" \1 ", text).split())
    text = _HALF_DAY.sub(lambda time: f"{time[1]} {time[2].lower()}m", text)
    return tidy(_JOIN.sub(", ", text))


def tidy(answer: str) -> str:
    """An answer without the marks of a sentence, of Markdown or of math mode around it."""
    text = " ".join(answer.split())
    while True:
        before = text
        text = text.strip("*` ")
        text = text if text.endswith("...") else re.sub(r"(?<!\\)[.,;:]+$", "", text)
        for opening, closing in (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]")):
            inside = text.removeprefix(opening).removesuffix(closing)
            if len(inside) == len(text) - 2 * len(opening) and inside and opening not in inside:
                text = inside
                break
        if text == before:
            return text


def without_thousands(text: str) -> str:
    """A text without the commas in its numbers; within brackets, (1,234) is a pair."""

    def joined(found: re.Match[str]) -> str:
        before = text[: found.start()].replace(r"\{", "(").replace(r"\}", ")")
        within = sum((letter in "([") - (letter in ")]") for letter in before)
        return found[0] if within else found[0].replace(",", "")

    return _THOUSANDS.sub(joined, text)


def words(text: str) -> list[str]:
    """Words of three letters and more that stand by themselves, and are none of a formula."""
    return [word for word in _WORD.findall(text) if not is_function(word)]


def is_function(name: str) -> bool:
    """Whether a name is one of formulas."""
    return re.fullmatch(FUNCTIONS, name.lower()) is not None


def without_unit(text: str) -> str:
    """A number without the words behind it: ``5 dollars`` is 5."""
    found = _UNIT.fullmatch(text)
    return found[1] if found and not words(found[1]) and _are_units(found[2]) else text


def _are_units(text: str) -> bool:
    return re.search(r"[A-Za-z]", text) is not None and not _NOT_UNITS.search(text)


def number(text: str) -> Fraction | None:
    r"""The exact value of a number: 3, 2.50, 1e3, 3/4, 1 1/2, ``\frac34``, ``0.\overline{3}``.

    None for anything else, and for a number of over 4,000 digits.

    Args:
        text: in plain LaTeX.
    """
    sign = -1 if text.startswith("-") else 1
    bare = text[1:].lstrip() if text[:1] in ("-", "+") else text
    if not bare or len(bare) > MAX_DIGITS or not re.search(r"\d", bare):
        return None
    try:
        value = _magnitude(bare)
    except ZeroDivisionError:
        return None
    return None if value is None else sign * value


def _magnitude(text: str) -> Fraction | None:
    if found := _NUMBER.fullmatch(text):
        whole, decimals, exponent = found[1], found[2] or "", int(found[3] or 0)
        if abs(exponent) > MAX_EXPONENT or not whole + decimals:
            return None
        return int(whole + decimals) * Fraction(10) ** (exponent - len(decimals))
    if found := _REPEATING.fullmatch(text):
        whole, decimals, period = found[1], found[2], found[3] or found[4]
        head, all_of_it = int(whole + decimals or "0"), int(whole + decimals + period)
        return Fraction(all_of_it - head, (10 ** len(period) - 1) * 10 ** len(decimals))
    if found := _SLASH.fullmatch(text):
        return int(found[1] or 0) + Fraction(int(found[2]), int(found[3]))
    if found := _FRACTION.fullmatch(text):
        above, below = int(found[2] or found[3]), int(found[4] or found[5])
        return int(found[1] or 0) + Fraction(above, below)
    return None
