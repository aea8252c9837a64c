r"""Where the final answer stands in a solution: in a box, on an answer line, in a sentence, last.

Only regular expressions that read a bounded text once: nothing here can take long.
"""

import re

from runtime.answers.notation import ASCII, SETTING, is_function, tidy

MAX_CHARACTERS = 2000  # of a solution's end, in which an answer is looked for

_BOX = re.compile(r"\\(?:boxed|fbox)\s*(?:\{|(?=[^\s{]))")
_LINE = re.compile(r"^####[ \t]*(\S.*?)[ \t]*$", re.MULTILINE)
_STATED = re.compile(
    r"\banswers?\b[^\n.:=]{0,80}?(?:\*\*|__)?(?:\bis\b|\bare\b|[:=]|\n)\s*:?(?P<said>[^\n]+)",
    re.IGNORECASE,
)
# A sentence, or what of it says the answer, ends here.
_SENTENCE_END = re.compile(
    r"[.!?](?=\s|$)|[,;(]?\s*\b(?:i\.e|e\.g|because|since|which|where)\b", re.IGNORECASE
)
_NAME = re.compile(r"(?<![^\s,(])[A-Za-z]{2,}(?![^\s,).])")
_JOINED = re.compile(r"\b(?:and|or)\b")
_LETTER = re.compile(
    r"(?:(?:option|choice)\s+)?(?:"
    rf"{SETTING}\{{(?P<boxed>[A-Z])\}}(?=$|[).:,;])"
    r"|(?:\\text(?:bf)?\{)?[\"'“]?(?:[(\[](?P<bracketed>[A-Z])[)\]]"
    # A dash leads to what the choice says; before anything but a word it is a minus.
    r"|(?P<bare>[A-Z])(?=$|[).:,;}\"'”]|\s+[-–—]\s+[A-Za-z]{2})))"
)
_LONE_LETTER = re.compile(r"[(\[]?[A-Za-z][)\].:]?")
# Several letters, as in ``A, C`` and ``(A) and (B)``: no single choice.
_LETTERS = re.compile(r"(?:[\W_]*\b(?:[A-Z]|and|or)\b)+[\W_]*")
_CHOSEN = re.compile(
    r"\((?P<bracketed>[A-Z])\)|^[*_ ]*(?P<alone>[A-Z])[*_. ]*$|^\*\*(?P<bold>[A-Z])[.):]?\*\*"
    r"|\b(?i:option|choice)\s+is:?\s+[*_(\"']*(?P<said>[A-Z])\b"
    r"|\b(?i:option|choice)\s+[*_(\"']*(?P<right>[A-Z])[*_)\"']*\s+is\s+(?:the\s+)?"
    r"(?:correct|right|best|answer)\b",
    re.MULTILINE,
)
_SPAN = r"\$\$(?:[^$]+)\$\$|\$(?:[^$\n]+)\$|\\\((?:.+?)\\\)|\\\[(?:.+?)\\\]"
_NUMBER = r"(?:\d{1,3}(?:[, ]\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+"
_OPERAND = rf"[-+]?\s*\(*\s*[-+]?(?:√\(*)?(?:(?:{_NUMBER})!?%?π?|π)\)*"
_PLAIN = (
    rf"\((?:\s*[-+]?(?:{_NUMBER})\s*,)+\s*[-+]?(?:{_NUMBER})\s*\)"
    rf"|-?[$€£]?{_OPERAND}(?:\s*(?:[-+*/^×÷]|(?=√))\s*{_OPERAND})*"
)
_EXPRESSION = re.compile(rf"{_SPAN}|(?<![A-Za-z0-9_.]){_PLAIN}", re.DOTALL)
_LEADING = re.compile(rf"(?:{_SPAN}|{_PLAIN})(?![A-Za-z0-9_])", re.DOTALL)


def find_answer(text: str) -> str | None:
    r"""The final answer of a solution of mathematics; None where it has none.

    What the last ``\boxed{}`` holds, else what follows the last ``####``, else what the last
    sentence about an answer says, else the last expression.
    """
    text = _squeezed(text[-MAX_CHARACTERS:])
    marked = last_boxed(text) or answer_line(text) or stated(text)
    return marked or (tidy(text) if _is_formula(text) else last_expression(text))


def last_boxed(text: str) -> str | None:
    r"""What the last whole ``\boxed{...}`` or ``\fbox{...}`` holds: MATH's answer.

    MATH also writes ``\boxed 5``. None where nothing is boxed, or nothing in the box.
    """
    for box in reversed(list(_BOX.finditer(text))):
        inside = text[box.end() :]
        if box[0][-1] == "{":
            depth = 1
            for end, letter in enumerate(inside):
                depth += (letter == "{") - (letter == "}")
                if depth == 0:
                    return tidy(inside[:end]) or None
        elif bare := re.match(r"[^$\s{}]+", inside):
            return tidy(bare[0]) or None
    return None


def answer_line(text: str) -> str | None:
    """What follows the last ``####``: GSM8K's answer. A heading of words is none."""
    for line in reversed(_LINE.findall(text)):
        answer = tidy(line)
        letter = _LETTER.fullmatch(answer)
        if (re.search(r"\d", answer) and not re.match(r"[A-Za-z]", answer)) or letter:
            return re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", tidy(re.sub(r"\\?\$", "", answer)))
    return None


def stated(text: str) -> str | None:
    """What the last sentence says that names an answer: ``The answer is (B).``, ``Answer: 3/4``."""
    for found in reversed(list(_STATED.finditer(text))):
        said = tidy(_first_sentence(found["said"]))
        if (letter := choice(said)) is not None:
            return letter
        if _is_formula(said):
            return said
        leading = _LEADING.match(said)
        if answer := tidy(leading[0]) if leading else last_expression(said):
            return answer
    return None


def choice(text: str, count: int = 26) -> str | None:
    """The letter that a text begins with if it names a choice: ``C``, ``(C)``, ``C) Paris``.

    Args:
        text: an answer.
        count: how many choices there are, from A.
    """
    found = _LETTER.match(tidy(text))
    letter = found and _named(found)
    return letter if letter and ord(letter) - ord("A") < count else None


def given_choice(text: str, count: int) -> str | None:
    """The letter of a right answer as data sets give it: ``B``, ``b``, ``(B)``, ``B) Paris``.

    Args:
        text: the right answer. Several letters are no choice.
        count: how many choices there are, from A.
    """
    text = text.strip()
    if _LONE_LETTER.fullmatch(text):
        return choice(text.upper(), count)
    return None if _LETTERS.fullmatch(text) else choice(text, count)


def last_choice(text: str, count: int) -> str | None:
    """The last letter that stands in brackets, alone in its line, or is said to be the option."""
    found = map(_named, _CHOSEN.finditer(text))
    among = [letter for letter in found if ord(letter) - ord("A") < count]
    return among[-1] if among else None


def _named(found: re.Match[str]) -> str:
    """The letter of the one group that matched."""
    return next(letter for letter in found.groupdict().values() if letter)


def last_expression(text: str) -> str | None:
    """The last formula in math mode, or number or expression of numbers; None without one."""
    found = _EXPRESSION.findall(text)
    return (tidy(found[-1]) or None) if found else None


def _squeezed(text: str) -> str:
    """A text without runs of spaces, over which some expressions would take long."""
    text = text.replace("−", "-")
    return re.sub(r"\s*\n\s*", "\n", re.sub(r"[^\S\n]+", " ", text)).strip()


def _is_formula(text: str) -> bool:
    """Whether a line is a formula, or several, with no word beside them."""
    plain = _JOINED.sub(",", re.sub(r"\\(?:text|mbox)\{[^{}]*\}", "", text))
    named = [name for name in _NAME.findall(plain) if not is_function(name)]
    formal = re.search(r"\d|[\\$]|^[a-z]$", text) is not None
    return formal and "\n" not in text and not named and plain.translate(ASCII).isascii()


def _first_sentence(text: str) -> str:
    """Up to the first full stop, or reason, outside of math mode."""
    spans = [span.span() for span in re.finditer(_SPAN, text)]
    for stop in _SENTENCE_END.finditer(text):
        if not any(start < stop.start() < end for start, end in spans):
            return text[: stop.start()]
    return text
