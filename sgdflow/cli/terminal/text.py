"""Styled text on a terminal, plain text elsewhere."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TextIO

if TYPE_CHECKING:
    from rich.console import Console

Style = Literal["plain", "title", "quiet", "added", "removed"]
_LOOKS: Mapping[Style, str] = {
    "plain": "",
    "title": "bold",
    "quiet": "dim",
    "added": "green",
    "removed": "red strike",
}
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of text in one style."""

    text: str
    style: Style = "plain"

    def marked(self) -> str:
        """Return the text with marks for what only colour would tell."""
        marks = {"added": ("{+", "+}"), "removed": ("[-", "-]")}
        before, after = marks.get(self.style, ("", ""))
        return f"{before}{printable(self.text)}{after}"


def printable(text: str) -> str:
    """Return the text with control characters spelt out: model text moves no cursor."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def write(parts: Iterable[Part], file: TextIO | None = None) -> None:
    """Write the parts one after the other."""
    file = file or sys.stdout
    if not shows_colour(file):
        file.write("".join(part.marked() for part in parts))
        return
    from rich.text import Text

    styled = Text()
    for part in parts:
        styled.append(printable(part.text), _LOOKS[part.style])
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
