"""The pieces of a prompt that simulated models tell apart: values by name, work, feedback."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from sgdflow.simulation.wishes import plain


@dataclass(frozen=True, slots=True)
class Piece:
    """What stands between tags, or on a line that says what it is."""

    tag: str
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Seen:
    """One piece of work shown to a critic or a writer, with the feedback it received."""

    variables: Mapping[str, str]
    output: str
    feedback: tuple[str, ...]


def pieces(body: str, mark: str) -> Sequence[Piece]:
    """Return the outermost pieces of a prompt whose tags bear this mark."""
    return [_piece(found) for found in _finding(mark).finditer(body)]


def shown(body: str, mark: str) -> Sequence[Seen]:
    """Return the work that is shown, as many times as the prompt says that it was there."""
    variables: dict[str, str] = {}
    output, feedback, times = "", [], 1
    for piece in pieces(body, mark):
        if piece.tag == "variable":
            variables[piece.name] = piece.text
        elif piece.tag == "times":
            times = int(piece.text)
        elif piece.tag == "output":
            output = piece.text
        elif piece.tag == "feedback":
            feedback.append(plain(piece.text))
    return [Seen(variables, output, tuple(feedback))] * times


def _piece(found: re.Match[str]) -> Piece:
    if found["tag"]:
        return Piece(found["tag"].lower(), found["name"] or "", found["body"].strip())
    if found["value"]:
        return Piece("variable", found["value"], found["is"].strip())
    if found["times"]:
        return Piece("times", "", found["times"])
    return Piece(found["kind"].lower(), "", found["said"].strip())


@lru_cache(maxsize=64)
def _finding(mark: str) -> re.Pattern[str]:
    """Return what finds the pieces of a prompt whose tags bear this mark."""
    return re.compile(
        rf'<(?P<tag>[a-z_]\w*){mark}(?: name="(?P<name>[^"]*)")?(?: from="[^"]*")?>'
        rf"\s*\n?(?P<body>.*?)\n?\s*</(?P=tag){mark}>"
        r"|^`(?P<value>[\w.]+)`: (?P<is>[^\n]*)$"
        r"|^(?P<kind>Output|Feedback)(?: from `[^`\n]+`)?: (?P<said>[^\n]*)$"
        r"|^\((?P<times>\d+) such queries\)$",
        re.DOTALL | re.IGNORECASE | re.MULTILINE,
    )
