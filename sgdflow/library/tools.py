"""Code that graphs may call as nodes."""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence

_BINARY: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_PLACE = re.compile(r"\{\s*(\w+)\s*\}")
_UNARY: dict[type[ast.unaryop], Callable[[float], float]] = {
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
}


def calculate(expression: str) -> str:
    """Return the value of an arithmetic expression as text; raises ValueError for anything else.

    Numbers, parentheses and + - * / // % are understood; the text is never run as code.
    """
    if len(expression) > 1000:
        raise ValueError(f"an expression of {len(expression)} characters is too long")
    plain = _THOUSANDS.sub("", expression.strip().rstrip("="))
    try:
        value = _value(ast.parse(plain, mode="eval").body, expression)
    except SyntaxError as error:
        raise ValueError(f"'{expression}' is no arithmetic expression") from error
    except RecursionError as error:
        raise ValueError(f"'{expression}' is nested too deeply") from error
    except OverflowError as error:
        raise ValueError(f"'{expression}' is too large") from error
    if not math.isfinite(value):
        raise ValueError(f"'{expression}' is too large")
    return str(int(value)) if value == int(value) else repr(value)


def keywords(text: str, known: Sequence[str]) -> str:
    """Return those of the known words that a text holds, in any case of letters, or "none"."""
    said = set(re.findall(r"\w+", text.casefold()))
    return ", ".join(word for word in known if word.casefold() in said) or "none"


def first(*values: object) -> object:
    """Return the first value that is there: of several branches, that of the one taken."""
    found = [value for value in values if value is not None]
    if not found:
        raise ValueError("all nodes before it were skipped")
    return found[0]


def fill(values: Mapping[str, object], form: str) -> str:
    """Return a text with values in the place of their names in braces; other braces stay."""
    return _PLACE.sub(lambda found: str(values.get(found[1], found[0])), form)


def _value(node: ast.expr, expression: str) -> float:
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return value
        case ast.BinOp(left, op, right) if type(op) in _BINARY:
            return _BINARY[type(op)](_value(left, expression), _value(right, expression))
        case ast.UnaryOp(op, operand) if type(op) in _UNARY:
            return _UNARY[type(op)](_value(operand, expression))
    raise ValueError(f"'{expression}' holds more than numbers, parentheses and + - * / // %")
