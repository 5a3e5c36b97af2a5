"""Self-contained HTML pages, made as trees: a text can only ever be a text."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from importlib.resources import files
from string import Template
from typing import Any
from xml.etree.ElementTree import Element, tostring

from sgdflow.errors import spelt_out

_UNSAFE = re.compile("[<>&\u2028\u2029\ud800-\udfff]")
_SCRIPTS = ("make.js", "node.js", "page.js")
"""One after the other they are one script."""


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
    """Return the text with a spelling of what a file of this kind cannot hold, or nobody sees."""
    return spelt_out(text.replace("\r", ""))


def page(title: str, body: Sequence[Element], data: Any = None, calls: Any = None) -> str:
    """Return the page; its policy lets no script run and nothing be loaded but what it brings."""
    style = shipped("drawing.css") + shipped("page.css")
    script = "".join(map(shipped, _SCRIPTS)) if data is not None else ""
    policy = (
        "default-src 'none'; img-src data:; "
        f"style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    return Template(shipped("page.html")).substitute(
        title=as_html(element("title", title))[len("<title>") : -len("</title>")],
        policy=policy,
        style=style,
        body="\n".join(as_html(part) for part in body),
        data=as_script(data),
        calls=as_script(calls),
        script=script,
    )


def shipped(name: str) -> str:
    """Return a file that comes with the package."""
    return (files("sgdflow.report") / name).read_text(encoding="utf-8")


def table(header: Sequence[str], rows: Sequence[Sequence[Element | str]], numbers: int) -> Element:
    """Return a table that scrolls by itself; the last `numbers` columns hold numbers."""
    first = len(header) - numbers
    kinds = [None if i < first else "number" for i in range(len(header))]
    head = element(
        "tr",
        *(element("th", h, scope="col", class_=k) for h, k in zip(header, kinds, strict=True)),
    )
    body = [
        element("tr", *(element("td", c, class_=k) for c, k in zip(row, kinds, strict=True)))
        for row in rows
    ]
    made = element("table", element("thead", head), element("tbody", *body))
    # Without a place in the tab order it could not be scrolled by keyboard.
    return element("div", made, class_="scroll", tabindex=0, role="region", aria_label=header[0])


def section(title: str, name: str, *content: Element | None) -> Element:
    """Return a part of the page with a heading."""
    heading = element("h2", title, id=f"{name}-title")
    return element("section", heading, *content, id=name, aria_labelledby=f"{name}-title")


def as_script(data: Any) -> str:
    """Return JSON that can stand in a script element: nothing in it ends or opens markup."""
    written = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return _UNSAFE.sub(_escape, written)


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return "\ufffd" if 0xD800 <= code <= 0xDFFF else f"\\u{code:04x}"


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
