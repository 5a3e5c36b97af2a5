"""What models put around a text: thoughts before it, code fences about it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sgdflow.errors import ReplyError

_NAMES = "think|thinking|thought|seed:think"
_BEGINS = re.compile(rf"\s*+(?:<(?:{_NAMES})>|\[THINK\])", re.IGNORECASE)
_OPENS = re.compile(rf"<(?:{_NAMES})>|\[THINK\]", re.IGNORECASE)
_CLOSES = re.compile(rf"</(?:{_NAMES})>|\[/THINK\]", re.IGNORECASE)
_FENCES = ("```", "~~~")
_LANGUAGE = re.compile(r"[\w.+#-]*")


def without_thoughts(text: str) -> str:
    """Leave out what a reasoning model thought aloud before its reply; raises ReplyError."""
    at = 0
    while opened := _BEGINS.match(text, at):
        closed = _CLOSES.search(text, opened.end())
        if closed is None:
            raise ReplyError("its reasoning never ended, so the answer is missing")
        at = closed.end()
    return text[at:]


def thoughts_end(text: str) -> tuple[int, int] | None:
    """Return where the end of thoughts stands whose beginning is not there.

    Some chat templates write the opening tag themselves, so that it is no part of the reply.
    """
    closed = _CLOSES.search(text)
    if closed is None or _OPENS.search(text, 0, closed.start()):
        return None
    return closed.span()


def fenced(text: str) -> Sequence[str]:
    """Return what stands between code fences, each on a line of its own."""
    blocks: list[str] = []
    opened: list[str] | None = None
    for line in text.splitlines(keepends=True):
        if line.lstrip().startswith(_FENCES):
            if opened is not None:
                blocks.append("".join(opened))
            opened = [] if opened is None else None
        elif opened is not None:
            opened.append(line)
    return blocks


def unfenced(text: str) -> str:
    """Take off a code fence around the whole of a text; a text that holds fences stays as it is."""
    said = text.strip()
    fence = said[:3]
    if fence not in _FENCES or not said.endswith(fence) or len(said) <= 6:
        return text
    inside = said[3:-3]
    if fence in inside:
        return text
    first, line_end, rest = inside.partition("\n")
    if line_end and _LANGUAGE.fullmatch(first.strip()):
        inside = rest
    return inside.strip() or text


def unfenced_like(text: str, current: str) -> str:
    """Take the fence off a rewrite, unless the text that it replaces stands in one as well."""
    return text if unfenced(current) != current else unfenced(text)
