"""Keys of expressions, computed by sympy from what latex2sympy reads. Runs in a worker process.

Two expressions are equal if their difference vanishes. Instead of simplifying differences, pair by
pair, every expression is evaluated by itself to many digits: constants once, functions at fixed
points. Equal expressions have equal values; different ones agree with a chance of one in 10^40.
What turns out to be rational gets the key of that rational number, exactly.
"""

import hashlib
import re
from fractions import Fraction
from typing import Any

from latex2sympy2_extended import NormalizationConfig, normalize_latex
from latex2sympy2_extended.latex2sympy2 import ConversionConfig, latex2sympy
from sympy import Expr, Float, I, Rational, Symbol, nan, zoo
from sympy.core.function import AppliedUndef

from runtime.answers.canonical import rational_key, short, split, text_key
from runtime.answers.notation import FUNCTIONS

DIGITS = 80  # of an evaluation
COMPARED = 40  # of them in a key: so many are right in spite of cancellation
POINTS = 4
# A value within 50 digits of a fraction of so small a denominator is that fraction.
LARGEST_DENOMINATOR = 10**15
CLOSE = Fraction(1, 10**50)

_NORMAL = NormalizationConfig(
    basic_latex=True, units=False, malformed_operators=True, nits=True, boxed="none"
)
_CASED = ConversionConfig(lowercase_symbols=False)
_SCIENTIFIC = re.compile(r"(?<![A-Za-z\\])(\d+(?:\.\d*)?|\.\d+)[eE]([+-]?\d+)")
_PLAIN_ROOT = re.compile(r"\\?sqrt\s*\(((?:[^()]|\([^()]*\))*)\)")
_PLAIN_NAME = re.compile(rf"(?<![A-Za-z\\])({FUNCTIONS})(?![A-Za-z])")


def expression_key(text: str) -> str:
    """The key of an expression, or of an equation of two; of what is neither, as of a text.

    Args:
        text: plain LaTeX.
    """
    try:
        sides = [_parsed(side) for side in split(text, "=")]
        if len(sides) == 2:
            return f"equation({_values(sides[0] - sides[1], relative=True)})"
        return _values(*sides)
    except Exception:  # latex2sympy and sympy raise anything on what they cannot read
        return text_key(text)


def _parsed(text: str) -> Expr:
    text = _PLAIN_ROOT.sub(r"\\sqrt{\1}", text).replace("*", r"\cdot ")
    text = _SCIENTIFIC.sub(r"\1\\cdot 10^{\2}", text)
    text = normalize_latex(_PLAIN_NAME.sub(r"\\\1 ", text), _NORMAL)
    value = latex2sympy(text, normalization_config=None, conversion_config=_CASED)
    if not isinstance(value, Expr):
        raise TypeError("a set or a statement, and no expression")
    exact: dict[Any, Any] = {number: Rational(str(number)) for number in value.atoms(Float)}
    exact |= {symbol: I for symbol in value.free_symbols if symbol.name == "i"}
    exact |= {call: Symbol(str(call)) for call in value.atoms(AppliedUndef)}
    return value.xreplace(exact).doit()


def _values(expression: Expr, relative: bool = False) -> str:
    """An expression's values at the points, or how they relate to the first, as a key."""
    if relative and not expression.free_symbols:
        raise ValueError("an equation without a variable")
    points = range(POINTS if expression.free_symbols else 1)
    found = []
    for point in points:
        value = expression.xreplace({s: _at(s, point) for s in expression.free_symbols})
        if not value.has(nan, zoo):
            found.append(value)
    if len(found) < len(points) / 2:
        raise ValueError("it has no value")
    keys = [_value(value / found[0] if relative else value) for value in found]
    return keys[0] if len(set(keys)) == 1 and not relative else short(",".join(keys))


def _at(symbol: Symbol, point: int) -> Rational:
    """A fixed value of a symbol, between 0.5 and 2.5, or the negative of one."""
    drawn = int.from_bytes(hashlib.sha256(f"{symbol.name} {point}".encode()).digest()[:8])
    return Rational((-1) ** point * (499 + drawn % 1994), 997)


def _value(expression: Expr) -> str:
    """The key of a number."""
    if expression.is_Rational:
        return rational_key(Fraction(int(expression.p), int(expression.q)))
    real, imaginary = expression.evalf(DIGITS).as_real_imag()
    parts = [_part(part) for part in (real, imaginary)]
    return parts[0] if parts[1] == rational_key(Fraction(0)) else f"{parts[0]}+{parts[1]}i"


def _part(value: Expr) -> str:
    if value.is_Rational:
        return rational_key(Fraction(int(value.p), int(value.q)))
    if not isinstance(value, Float):
        raise TypeError("not a number")
    if value._prec < COMPARED:  # sympy's word that no digit of it is certain: zero
        return rational_key(Fraction(0))
    exact = Fraction(str(value))
    near = exact.limit_denominator(LARGEST_DENOMINATOR)
    if abs(exact - near) <= CLOSE * abs(exact):
        return rational_key(near)
    return str(Float(value, COMPARED))
