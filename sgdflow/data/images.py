"""Images that a model is shown: files and data URLs."""

from __future__ import annotations

import binascii
import re
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

from sgdflow.errors import shortly
from sgdflow.homes import expanded

_URL = re.compile(r"data:image/[\w.+-]+;base64,(.*)", re.DOTALL)
_KINDS = (
    (b"\x89PNG\r\n\x1a\n", 0, "png"),
    (b"\xff\xd8\xff", 0, "jpeg"),
    (b"GIF8", 0, "gif"),
    (b"WEBP", 8, "webp"),
)
_EXPECTED = "a file or a data URL (data:image/png;base64,...) of a PNG, JPEG, GIF or WebP image"


def data_url(value: Any, folder: Path) -> str:
    """Return an image as a data URL; raises ValueError with why there is none.

    A relative path starts in the folder.
    """
    if not isinstance(value, str) or not value:
        raise ValueError(f"is {shortly(repr(value))}, not {_EXPECTED}")
    if inside := _URL.fullmatch(value):
        try:
            content = b64decode(inside[1], validate=True)
        except binascii.Error as error:
            raise ValueError(f"is a data URL that cannot be decoded ({error})") from error
    elif re.match(r"\w+://|data:", value):
        raise ValueError(f"is the address {shortly(repr(value))}, not {_EXPECTED}")
    else:
        try:
            content = (folder / expanded(value)).read_bytes()
        except (OSError, ValueError) as error:
            told = getattr(error, "strerror", None) or error
            raise ValueError(f"is {shortly(repr(value))}, which cannot be read: {told}") from error
    kind = next((name for mark, at, name in _KINDS if content[at:].startswith(mark)), None)
    if kind is None:
        raise ValueError(f"is {shortly(repr(value))}, which holds no PNG, JPEG, GIF or WebP image")
    return f"data:image/{kind};base64,{b64encode(content).decode()}"
