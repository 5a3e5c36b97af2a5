"""Arithmetic in several steps with +, -, * and parentheses."""

from __future__ import annotations

import re

from sgdflow.simulation.procedures.notation import reduce
from sgdflow.simulation.procedures.question import Procedure
from sgdflow.simulation.procedures.rules import Rule

_TOKEN = re.compile(r"-?\d+|[-()+*]")
_QUESTION = re.compile(r"([-\d\s()+*]+) =")

_NO_PRODUCT = r"^(?!.*\b(?:product|multipl|times))"
_SUM = r"(?:add|sum|plus|subtract|minus)"
PRECEDENCE = Rule(
    "multiply_first",
    "Multiply before you add or subtract.",
    (
        rf"\bmultipl\w* (?:\w+ ){{0,4}}(?:before|prior to|ahead of) (?:\w+ ){{0,4}}{_SUM}",
        rf"\bproducts? (?:\w+ ){{0,4}}(?:before|prior to|ahead of) (?:\w+ ){{0,4}}{_SUM}",
        r"\b(?:multipl\w*|products?) (?:\w+ ){0,5}(?:first|precedence|priority|tighter|stronger)\b",
        r"\b(?:first|start by) (?:\w+ ){0,3}(?:multipl|products?\b)",
        rf"\bbefore (?:you |any |the |all )*{_SUM}\w* & \b(?:multipl|products?\b)",
        rf"\bnot (?:\w+ )?{_SUM}\w* (?:\w+ ){{0,3}}(?:before|until)\b & \b(?:multipl|products?\b)",
        rf"\b{_SUM}\w* (?:\w+ ){{0,4}}(?:after|last|once) & \b(?:multipl|products?\b)",
        r"\border of operations\b|\boperator precedence\b|\b(?:pemdas|bodmas|bidmas)\b",
    ),
)
TAKE_AWAY_NEGATIVE = Rule(
    "take_away_negative",
    "Subtracting a negative number is the same as adding its positive.",
    (
        rf"{_NO_PRODUCT} & \b(?:subtract\w*|tak(?:e|ing) away|minus) (?:\w+ ){{0,2}}"
        r"(?:negative|minus)\b & \b(?:add|plus|positive)",
        rf"{_NO_PRODUCT} & \b(?:two|double|consecutive|adjacent) (?:minus(?:es)?|(?:negative|minus)"
        r" signs?)\b & \b(?:plus|add|addition|positive|cancel)",
        r"- ?- & \b(?:plus|add|adding|addition|positive)\b|\+",
    ),
)
SIGN_OF_PRODUCT = Rule(
    "sign_of_product",
    "The product of two negative numbers is positive.",
    (
        r"\b(?:products?|multipl\w*|times)\b & \b(?:two|both) (?:\w+ ){0,2}negatives?\b"
        r" & \b(?:positive|plus|cancel)",
        r"\b(?:negative|minus) (?:number |factor |value )?(?:times|by|multiplied by|and|with)"
        r" (?:a |another |a second )?(?:negative|minus)\b & \b(?:positive|plus)\b",
        r"\b(?:even number of|equal|like|same) (?:\w+ )?(?:negative|signs?|minus)"
        r" & \b(?:products?|multipl\w*|factors?) & \b(?:positive|plus)\b",
    ),
)
RULES = (PRECEDENCE, TAKE_AWAY_NEGATIVE, SIGN_OF_PRODUCT)


def parse(question: str) -> tuple[str, ...] | None:
    """Read the tokens of the expression."""
    match = _QUESTION.fullmatch(question)
    if not match:
        return None
    tokens = tuple(_TOKEN.findall(match[1]))
    try:
        solve(tokens, frozenset(rule.name for rule in RULES))
    except (IndexError, ValueError, RecursionError):
        return None
    return tokens


def solve(expression: tuple[str, ...], told: frozenset[str]) -> str:
    """Work the expression out.

    Untold: operations are taken from left to right, of two minus signs one is overlooked, and a
    product is negative as soon as one factor is.
    """
    tokens = list(expression)
    value = _level(tokens, told)
    if tokens:
        raise ValueError(tokens)
    return str(value)


def _level(tokens: list[str], told: frozenset[str]) -> int:
    values, operators = [_operand(tokens, told)], []
    while tokens and tokens[0] in ("+", "-", "*"):
        operators.append(tokens.pop(0))
        if operators[-1] == "-" and TAKE_AWAY_NEGATIVE.name not in told:
            tokens[0] = tokens[0].removeprefix("-")
        values.append(_operand(tokens, told))

    def apply(operator: str, one: int, other: int) -> int:
        if operator == "*":
            both_negative = one < 0 and other < 0
            return (
                -one * other if both_negative and SIGN_OF_PRODUCT.name not in told else one * other
            )
        return one - other if operator == "-" else one + other

    return reduce(values, operators, "*" if PRECEDENCE.name in told else "* + -", apply)


def _operand(tokens: list[str], told: frozenset[str]) -> int:
    token = tokens.pop(0)
    if token == "(":
        value = _level(tokens, told)
        if tokens.pop(0) != ")":
            raise ValueError(token)
        return value
    return int(token)


def step(expression: tuple[str, ...]) -> str:
    """Name the numbers."""
    numbers = ", ".join(token for token in expression if token[-1].isdigit())
    return f"{numbers}."


FAMILY = Procedure(
    "multistep_arithmetic_two", RULES, parse, solve, "Numbers in the expression:", step
)
