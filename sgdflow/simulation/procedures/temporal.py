"""Finding the time at which somebody was not seen elsewhere."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sgdflow.simulation.procedures.question import Procedure
from sgdflow.simulation.procedures.rules import Rule

_TIME = r"(\d{1,2}(?::\d\d)?[ap]m)"
_WOKE = re.compile(rf"woke up at {_TIME}")
_SEEN = re.compile(rf"saw \w+ .+? from {_TIME} to {_TIME}")
_CLOSED = re.compile(rf"was closed after {_TIME}")
_OPTION = re.compile(rf"\(([A-Z])\) {_TIME} to {_TIME}")
_HEAD = re.compile(r"Today, .+\. Between what times could they have gone\?")

_TIMES = r"\b(?:time|hours?|gap|interval|period|slot|stretch|span)\b"
BETWEEN = Rule(
    "gap_between",
    "Look for a gap between the end of one sighting and the start of the next.",
    (
        r"\b(?:gaps?|(?:free|unaccounted|open|uncovered|missing) (?:time|hours?)|hole|break)\b"
        r" & \bbetween\b"
        r" & \b(?:sighting|seen|saw|witness\w*|one|events?|activit\w+|them|consecutive|successive)",
        r"\bends?\b & \b(?:starts?|begin\w*)\b & \bnext\b",
    ),
)
AFTER = Rule(
    "gap_after",
    "Consider the time from the last sighting to closing, too.",
    (
        r"\b(?:after|from|since|follow\w*|between) (?:\w+ ){0,3}last\b & \b(?:clos\w*|shut\w*)\b",
        rf"\bbefore (?:\w+ ){{0,3}}(?:clos\w+|shut\w*)\b & {_TIMES}|\blast\b",
        rf"{_TIMES} & \buntil (?:\w+ ){{0,3}}(?:clos\w+|shut\w*)\b",
    ),
)
BEFORE = Rule(
    "gap_before",
    "Consider the time from waking up to the first sighting, too.",
    (
        r"\b(?:wak\w+|woke|got up|getting up|gets up)\b & \b(?:first|until|before|between)\b"
        rf" & {_TIMES}|\b(?:sighting|seen|saw|witness\w*)",
        rf"\bbefore (?:\w+ ){{0,3}}first\b & {_TIMES}|\b(?:sighting|seen|saw|witness\w*|free)",
    ),
)
RULES = (BETWEEN, AFTER, BEFORE)


@dataclass(frozen=True, slots=True)
class Day:
    """When somebody woke up and was seen, when the place closed; times are in minutes."""

    woke: int
    seen: tuple[tuple[int, int], ...]
    closed: int
    options: tuple[tuple[str, int, int], ...]


def parse(question: str) -> Day | None:
    """Read the times."""
    if not _HEAD.match(question):
        return None
    woke, closed = _WOKE.search(question), _CLOSED.search(question)
    seen = tuple((_minutes(m[1]), _minutes(m[2])) for m in _SEEN.finditer(question))
    options = tuple((m[1], _minutes(m[2]), _minutes(m[3])) for m in _OPTION.finditer(question))
    if not woke or not closed or not seen or not options:
        return None
    return Day(_minutes(woke[1]), seen, _minutes(closed[1]), options)


def _minutes(time: str) -> int:
    hour, _, minute = time[:-2].partition(":")
    return (int(hour) % 12 + 12 * (time[-2] == "p")) * 60 + int(minute or 0)


def solve(day: Day, told: frozenset[str]) -> str:
    """Choose the option that is a stretch of free time.

    Untold, a place where free time may lie is not looked at: between two sightings, after the
    last one, before the first. A worker who finds none takes the option named first.
    """
    gaps = []
    if BETWEEN.name in told:
        gaps += [(end, start) for (_, end), (start, _) in zip(day.seen, day.seen[1:], strict=False)]
    if AFTER.name in told:
        gaps.append((day.seen[-1][1], day.closed))
    if BEFORE.name in told:
        gaps.append((day.woke, day.seen[0][0]))
    found = [letter for letter, start, end in day.options if (start, end) in gaps and start < end]
    return f"({found[0] if found else day.options[0][0]})"


def step(day: Day) -> str:
    """Count the sightings."""
    return f"{len(day.seen)}."


FAMILY = Procedure("temporal_sequences", RULES, parse, solve, "Sightings:", step)
