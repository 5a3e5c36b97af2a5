"""Following moves on a plane: does one return to the start?"""

from __future__ import annotations

import re

from sgdflow.simulation.procedures.question import Procedure
from sgdflow.simulation.procedures.rules import Rule

_QUESTION = re.compile(
    r"If you follow these instructions, do you return to the starting point\?(?P<moves>.*?)"
    r"(?:\s*Options:\s*- Yes\s*- No)?",
    re.DOTALL,
)
_MOVE = re.compile(
    r"Take (?P<count>\d+) steps?(?: (?P<side>forward|backward|left|right))?"
    r"|Turn (?P<turn>left|right|around)|Always face forward"
)
_SIDES = {"": 0, "forward": 0, "right": 1, "backward": 2, "left": 3}

_STEPS = r"\b(?:steps?|forward|mov\w+|walk\w*|paces?|go|going|stepping)\b"
TURNS = Rule(
    "turns",
    "A turn to the left or right changes the direction of the steps after it.",
    (
        r"\bturn\w* (?:to the )?(?:left|right)|\b(?:left|right) (?:hand )?turns?\b"
        r" & \b(?:direction|heading|facing|face|orientation|rotat\w+|quarter|90)\b",
        r"^(?!.*around).*\b(?:turns?|turning)\b & \b(?:direction|heading|facing|orientation|quarter"
        r"|90|rotat\w+)\b & \b(?:chang\w+|new|keep|keeping|track|updat\w+|remember|affects?|after"
        r"|note|degrees|quarter|90|then)\b",
        r"\b(?:track|updat\w+) (?:\w+ ){0,4}(?:direction|heading|orientation|facing)\b",
    ),
)
AROUND = Rule(
    "turn_around",
    "Turning around reverses the direction of the steps after it.",
    (
        r"\bturn\w* around\b|\babout turn|\bu turn|\babout face & \b(?:revers\w+|opposite|180|half"
        r"|flips?|two quarter|the other way|face back\w*|facing back\w*)\b",
    ),
)
BACKWARD = Rule(
    "backward",
    "Steps backward undo steps forward.",
    (
        rf"^(?!.*\bturn).*\b(?:backwards?|steps back|step back)\b & {_STEPS}"
        r" & \b(?:undo\w*|subtract\w*|opposite|negative|cancel\w*|minus|tak\w+ away|revers\w+"
        r"|against|decreas\w+|reduc\w+|lower)\b",
    ),
)
SIDEWAYS = Rule(
    "sideways",
    "Steps to the left and right go sideways and are counted apart from the other steps.",
    (
        r"^(?!.*\bturn).*\b(?:left|right)\b & \b(?:sideways|lateral\w*|separate\w*|apart|own axis"
        r"|(?:other|second|different|x) axis|x coordinate|perpendicular|east|west|horizontal\w*)\b",
        r"\b(?:two|both) (?:axes|coordinates|dimensions)\b|\bx and y\b"
        r" & \b(?:track|keep|steps?|mov\w+|count\w*|position)\b",
    ),
)
RULES = (BACKWARD, SIDEWAYS, AROUND, TURNS)


def parse(question: str) -> tuple[tuple[int, str], ...] | None:
    """Read the moves: (count, side) for steps, (0, direction) for a turn."""
    match = _QUESTION.fullmatch(question)
    if not match:
        return None
    moves = []
    for sentence in filter(None, re.split(r"\.\s*", match["moves"].strip())):
        move = _MOVE.fullmatch(sentence)
        if not move:
            return None
        if move["count"]:
            moves.append((int(move["count"]), move["side"] or ""))
        elif move["turn"]:
            moves.append((0, move["turn"]))
    return tuple(moves)


def solve(moves: tuple[tuple[int, str], ...], told: frozenset[str]) -> str:
    """Follow the moves.

    Untold: turns are passed over, and steps to any side count as steps forward.
    """
    east, north, heading = 0, 0, 0
    for count, word in moves:
        if count == 0:
            heading += _turn(word, told)
            continue
        side = 0 if _missed(word, told) else _SIDES[word]
        direction = (heading + side) % 4
        east += count * (0, 1, 0, -1)[direction]
        north += count * (1, 0, -1, 0)[direction]
    return "Yes" if (east, north) == (0, 0) else "No"


def _turn(word: str, told: frozenset[str]) -> int:
    if word == "around":
        return 2 if AROUND.name in told else 0
    return _SIDES[word] if TURNS.name in told else 0


def _missed(side: str, told: frozenset[str]) -> bool:
    if side == "backward":
        return BACKWARD.name not in told
    return side in ("left", "right") and SIDEWAYS.name not in told


def step(moves: tuple[tuple[int, str], ...]) -> str:
    """Add up the steps of each word."""
    counts: dict[str, int] = {}
    for count, word in moves:
        if count:
            counts[word or "plain"] = counts.get(word or "plain", 0) + count
    return f"{', '.join(f'{word} {count}' for word, count in counts.items())}."


FAMILY = Procedure("navigate", RULES, parse, solve, "Step totals:", step)
