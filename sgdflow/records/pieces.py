"""Where a text is cut, so that what several prompts show is the same piece in each of them.

A prompt shows a value, a gradient or an instruction between two tags that the value itself never
has (prompting/marks.py). So what stands between a tag and the one that closes it is a piece, cut
in turn where it has tags. What stands between such pieces is cut at lines, very long lines at
words, where a digest of the line or word says so: that depends on nothing before or after it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from zlib import crc32

LEAST = 200
"""Characters of a text that is kept on its own: a reference to it takes some thirty."""
DEEPEST = 8
"""Pieces within pieces; prompts have three or four."""
_TAG = re.compile(r"<(/?)([A-Za-z_][\w.-]*)(?:\s[^<>\n]*)?>")
_LONG = 1024
"""Characters of a text that is cut at lines though it has no tags; of a line, at words."""
_LINES, _WORDS = 4, 16
"""How many lines, or words, there are for one where it is cut."""
_WORD = re.compile(r"\S*\s+|\S+")


def cut(text: str) -> Iterator[tuple[str, bool]]:
    """Yield the pieces of a text in order, and for each whether it may be cut again.

    Put together they are the text. Those shorter than `LEAST` are for nobody to refer to.
    """
    end = 0
    for start, stop in _between_tags(text):
        inner = text[start:stop].strip()
        if len(inner) >= LEAST:
            first = text.index(inner, start, stop)
            yield from ((piece, False) for piece in _literal(text[end:first]))
            yield inner, True
            end = first + len(inner)
    if end == 0 and len(text) < _LONG:
        yield text, False
    else:
        yield from ((piece, False) for piece in _literal(text[end:]))


def _between_tags(text: str) -> Sequence[tuple[int, int]]:
    """Return what stands between tags that belong together, without what is inside of another.

    It takes time in proportion to the text, whatever tags stand in it.
    """
    opened: list[tuple[str, int]] = []
    names: dict[str, int] = {}
    blocks = []
    for tag in _TAG.finditer(text) if "<" in text else ():
        closes, name = tag.groups()
        if not closes:
            opened.append((name, tag.end()))
            names[name] = names.get(name, 0) + 1
        elif names.get(name):
            found, start = "", 0
            while found != name:
                found, start = opened.pop()
                names[found] -= 1
            blocks.append((start, tag.start()))
    outer: list[tuple[int, int]] = []
    for start, stop in sorted(blocks):
        if not outer or start >= outer[-1][1]:
            outer.append((start, stop))
    return outer


def _literal(text: str) -> Iterator[str]:
    """Yield the pieces of what stands between others."""
    if len(text) < LEAST:
        yield text
        return
    for piece in _runs(text.splitlines(keepends=True), _LINES):
        if len(piece) > _LONG:
            yield from _runs(_WORD.findall(piece), _WORDS)
        else:
            yield piece


def _runs(atoms: Sequence[str], often: int) -> Iterator[str]:
    """Yield runs of lines or words, each as long as a piece has to be, or longer."""
    run: list[str] = []
    size = 0
    for atom in atoms:
        if len(atom) >= LEAST and run:
            yield "".join(run)
            run, size = [], 0
        run.append(atom)
        size += len(atom)
        if size >= LEAST and (
            len(atom) >= LEAST or crc32(atom.encode("utf-8", "surrogatepass")) % often == 0
        ):
            yield "".join(run)
            run, size = [], 0
    yield "".join(run)
