"""Closing the brackets that a sequence leaves open."""

from __future__ import annotations

import re

from sgdflow.simulation.procedures.question import Procedure
from sgdflow.simulation.procedures.rules import Rule

_QUESTION = re.compile(
    r"Complete the rest of the sequence, making sure that the parentheses are closed properly\."
    r" Input: ([\[\](){}<> ]+)"
)
_CLOSING = {"(": ")", "[": "]", "{": "}", "<": ">"}

_CLOSE = r"\b(?:clos\w*|brackets?|parenthes[ie]s|symbols?)\b"
INNERMOST = Rule(
    "innermost",
    "The bracket that was opened last is closed first.",
    (
        r"\b(?:revers\w*|opposite) (?:\w+ )?(?:order|sequence)\b|\bin reverse\b"
        rf"|\b(?:inside out|from the inside)\b & {_CLOSE}",
        rf"\blast in,? first out\b|\b(?:lifo|stack)\b & {_CLOSE}",
        r"\binnermost\b & \b(?:clos\w*|outwards?)\b",
        r"\bopen(?:ed|s|ing)? (?:\w+ )?(?:last|latest|most recently)\b & \b(?:clos\w*|first)\b",
        r"\b(?:last|latest|most recent|most recently) (?:\w+ )?open\w*\b & \b(?:first|clos\w*)\b",
    ),
)
ALL_OPEN = Rule(
    "all_open",
    "Every bracket that is still open needs a partner, not just one of them.",
    (
        r"\b(?:every|all|each|any)\b & \b(?:(?:still|remain\w*|left|stay\w*) (?:\w+ )?open|unclosed"
        rf"|unmatched|open (?:brackets?|ones?|parenthes[ie]s|symbols?))\b & {_CLOSE}",
        r"\buntil (?:\w+ ){0,3}(?:none|nothing|no) (?:\w+ ){0,4}(?:open|unclosed|unmatched)\b",
        rf"\b(?:as many|same number of) (?:closing|brackets?|parenthes[ie]s) & {_CLOSE}",
    ),
)
ANGLE = Rule(
    "angle",
    "The signs < and > are a pair as well.",
    (
        r"< ?(?:and|or|,|\.\.\.|/)? ?>|\bangled?\b|\bchevrons?\b|\bpointed brackets"
        r"|\bless than\b.*\bgreater than\b"
        r" & \b(?:brackets?|parenthes[ie]s|count\w*|pairs?|too|as well|also|match\w*|treat)\b",
    ),
)
RULES = (INNERMOST, ALL_OPEN, ANGLE)


def parse(question: str) -> tuple[str, ...] | None:
    """Read the brackets of the sequence."""
    match = _QUESTION.fullmatch(question)
    return tuple(match[1].split()) if match else None


def solve(sequence: tuple[str, ...], told: frozenset[str]) -> str:
    """Close what is left open.

    Untold: angle brackets are overlooked, brackets are closed in the order they were opened, and
    the work stops after two of them.
    """
    pending: list[str] = []
    for bracket in sequence:
        if bracket in "<>" and ANGLE.name not in told:
            continue
        if pending and _CLOSING[pending[-1]] == bracket:
            pending.pop()
        elif bracket in _CLOSING:
            pending.append(bracket)
    if INNERMOST.name in told:
        pending.reverse()
    if ALL_OPEN.name not in told:
        pending = pending[:2]
    return " ".join(_CLOSING[bracket] for bracket in pending) or "nothing"


def step(sequence: tuple[str, ...]) -> str:
    """Count the signs."""
    opening = sum(bracket in _CLOSING for bracket in sequence)
    return f"{opening} and {len(sequence) - opening}."


FAMILY = Procedure("dyck_languages", RULES, parse, solve, "Opening and closing signs:", step)
