"""Styled text on a terminal, plain text elsewhere."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TextIO

from sgdflow.errors import spelt_out
from sgdflow.records.diff import Op

if TYPE_CHECKING:
    from rich.console import Console

Style = Literal["plain", "title", "quiet", "added", "removed"]
STYLES: Mapping[Op, Style] = {"equal": "plain", "delete": "removed", "insert": "added"}
"""How the parts of a difference look."""
_LOOKS: Mapping[Style, str] = {
    "plain": "",
    "title": "bold",
    "quiet": "dim",
    "added": "green",
    "removed": "red strike",
}


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of text in one style."""

    text: str
    style: Style = "plain"

    def marked(self) -> str:
        """Return the text with marks for what only colour would tell."""
        marks = {"added": ("{+", "+}"), "removed": ("[-", "-]")}
        before, after = marks.get(self.style, ("", ""))
        return f"{before}{spelt_out(self.text)}{after}"


def say(text: str, file: TextIO | None = None) -> None:
    """Write text of any origin: it moves no cursor and turns no line round."""
    (file or sys.stdout).write(spelt_out(text))


class Spelt(logging.Formatter):
    """Formats log lines that may hold text of any origin."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return spelt_out(super().format(record))


def write(parts: Iterable[Part], file: TextIO | None = None) -> None:
    """Write the parts one after the other."""
    file = file or sys.stdout
    if not shows_colour(file):
        file.write("".join(part.marked() for part in parts))
        return
    from rich.text import Text

    styled = Text()
    for part in parts:
        styled.append(spelt_out(part.text), _LOOKS[part.style])
    console_on(file).print(styled, end="", soft_wrap=True)


def shows_colour(file: TextIO) -> bool:
    """Say whether the file is a terminal on which text may be styled."""
    if "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb":
        return False
    return file.isatty()


def console_on(file: TextIO) -> Console:
    """Return a console that takes text as it is."""
    from rich.console import Console

    return Console(file=file, markup=False, highlight=False, emoji=False)
