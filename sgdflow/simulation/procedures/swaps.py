"""Following objects that people swap."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sgdflow.simulation.procedures.question import Procedure
from sgdflow.simulation.procedures.rules import Rule

_NAME = r"([A-Z]\w*)"
_OPTION = re.compile(r"\(([A-Z])\) (.+)")
_START = re.compile(rf"{_NAME} (?:gets|has an?|is playing|is dancing with) (.+)")
_SWAP = re.compile(rf"(?:First|Then|Finally), {_NAME} and {_NAME} (?:swap|switch|trade)\b")
_ASKED = re.compile(rf"At the end of the \w+, {_NAME} (?:has the|has|is playing|is dancing with)")

_EXCHANGE = r"\b(?:swap\w*|trad(?:e|es|ing)|switch\w*|exchang\w*)\b"
_KEEP = r"\b(?:keeps?|holds? on|retains?|stays? with|unchanged|unaffected|not change)\b"
BOTH_SIDES = Rule(
    "both_sides",
    "In a swap both change: each of the two gets what the other had.",
    (
        rf"{_EXCHANGE} & \b(?:both|each of the two|each other|mutual\w*|two way|either side)\b"
        r" & \b(?:change\w*|gets?|receives?|takes?|gives?|holds?|ends?|updat\w+|directions?|ways?"
        r"|sides?|people|persons|partners|players)\b",
        rf"{_EXCHANGE} & \beach (?:\w+ ){{0,2}}(?:gets|receives|takes|holds|has|ends)\b"
        r" & \bthe other(?: one| person)?(?:s)?\b",
        rf"{_EXCHANGE} & \bgets what \w+ had\b.*\bgets what \w+ had\b",
        rf"{_EXCHANGE} & \bwhat the other (?:one |person )?(?:had|held|has|was)\b",
    ),
)
IN_TURN = Rule(
    "in_turn",
    "Carry out the swaps in turn, always on what people hold after the swap before.",
    (
        rf"{_EXCHANGE} & \b(?:one (?:after|by|at) (?:the other|another|one|a time)|in turn"
        r"|in (?:the )?(?:given |stated |right |correct |same )?(?:order|sequence)|step by step"
        r"|sequential\w*|consecutively|chronological\w*)\b",
        rf"{_EXCHANGE} & \b(?:result|outcome) of the (?:one before|last|previous|preceding)\b",
        rf"{_EXCHANGE} & \b(?:after|with|on|from|updat\w+) (?:\w+ ){{0,5}}(?:each|every|previous"
        r"|current|before|preceding|new)\b",
        r"\b(?:track|list|record|state|note|write down)\b & \bwho (?:has|holds) what\b"
        r" & \bafter (?:each|every)\b",
    ),
)
BYSTANDERS = Rule(
    "bystanders",
    "Who takes no part in a swap keeps what he holds at that time.",
    (
        rf"{_KEEP} & \b(?:no part|not (?:\w+ ){{0,3}}(?:part|named|involved|mentioned|in it|in the"
        r"|in a|swap\w*|trad\w+)|uninvolved|unnamed|others|the rest|everyone else|everybody else"
        r"|anyone else|bystanders?|no one else)\b",
        r"\b(?:not|no part) (?:\w+ ){1,5}(?:keeps?|retains?|holds? on|stays? with)\b"
        rf" & {_EXCHANGE}",
        rf"\bnot (?:\w+ ){{0,3}}{_EXCHANGE}(?: \w+){{0,3}} (?:keeps?|retains?|holds? on)\b",
        rf"{_EXCHANGE} (?:changes|does|alters) nothing (?:\w+ ){{0,2}}(?:others?|rest|everyone)\b",
        rf"\bonly (?:\w+ ){{0,3}}(?:two|both|named)\b & \b(?:change\w*|affect\w*)\b & {_EXCHANGE}",
        rf"{_EXCHANGE} (?:only )?(?:changes|affects) only (?:\w+ ){{0,2}}two\b",
    ),
)
RULES = (IN_TURN, BYSTANDERS, BOTH_SIDES)


@dataclass(frozen=True, slots=True)
class Swaps:
    """Who holds what at the start, who swaps with whom, and whose object is asked for."""

    start: tuple[tuple[str, str], ...]
    pairs: tuple[tuple[str, str], ...]
    asked: str
    options: tuple[tuple[str, str], ...]


def parse(question: str) -> Swaps | None:
    """Read the start, the swaps and the options."""
    body, _, listed = question.partition("\nOptions:\n")
    options = tuple((m[1], m[2].strip()) for m in _OPTION.finditer(listed))
    _, _, held = body.partition("\n")[0].partition(": ")
    parts = re.split(r", and |, | and (?=[A-Z]\w* (?:gets|has|is))", held.rstrip(" ."))
    start = tuple((m[1], m[2]) for part in parts if (m := _START.fullmatch(part)))
    pairs = tuple((m[1], m[2]) for m in _SWAP.finditer(body))
    asked = _ASKED.search(body)
    names = {name for name, _ in start}
    known = asked is not None and {asked[1], *(n for pair in pairs for n in pair)} <= names
    if (
        not asked
        or not pairs
        or not known
        or {item for _, item in start} != {item for _, item in options}
    ):
        return None
    return Swaps(start, pairs, asked[1], options)


def solve(problem: Swaps, told: frozenset[str]) -> str:
    """Follow the swaps.

    All but the last are followed with care. Untold, the last one is made with what people held
    one swap earlier, whoever is named second in it gets nothing new, and whoever takes no part in
    it is remembered with what he held at the start.
    """
    start = dict(problem.start)
    now, earlier = dict(start), dict(start)
    for one, other in problem.pairs[:-1]:
        earlier = dict(now)
        now[one], now[other] = now[other], now[one]
    asked, (one, other) = problem.asked, problem.pairs[-1]
    source = now if IN_TURN.name in told else earlier
    if asked == one:
        held = source[other]
    elif asked == other:
        held = source[one] if BOTH_SIDES.name in told else now[asked]
    else:
        held = (now if BYSTANDERS.name in told else start)[asked]
    letters = {item: letter for letter, item in problem.options}
    return f"({letters[held]})"


def step(problem: Swaps) -> str:
    """Say what the person asked about has at the start."""
    return f"{problem.asked} {dict(problem.start)[problem.asked]}."


FAMILY = Procedure("tracking_shuffled_objects", RULES, parse, solve, "Held at the start:", step)
