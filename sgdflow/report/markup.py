"""HTML and SVG as trees: a text can only ever be a text."""

from __future__ import annotations

import re
from xml.etree.ElementTree import Element, tostring

_UNPRINTABLE = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What neither XML nor UTF-8 can hold: control characters and lone surrogates."""


def element(name: str, *content: Element | str | None, **attributes: object) -> Element:
    """Return an element; `class_` is class, data_x is data-x, an attribute of None is left out."""
    made = Element(name)
    for key, value in attributes.items():
        if value is not None:
            made.set(key.rstrip("_").replace("_", "-"), printable(str(value)))
    last: Element | None = None
    for part in content:
        if part is None:
            continue
        if not isinstance(part, str):
            made.append(part)
            last = part
        elif last is None:
            made.text = (made.text or "") + printable(part)
        else:
            last.tail = (last.tail or "") + printable(part)
    return made


def as_html(tree: Element) -> str:
    """Return the tree as HTML."""
    return tostring(tree, encoding="unicode", method="html")


def as_xml(tree: Element) -> str:
    """Return the tree as XML."""
    return tostring(tree, encoding="unicode")


def printable(text: str) -> str:
    """Return the text with U+FFFD for what a file of this kind cannot hold."""
    return _UNPRINTABLE.sub("\ufffd", text)
