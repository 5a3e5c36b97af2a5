"""Plain data that is kept small: much of it is alike, and little of it looked at again."""

from __future__ import annotations

import marshal
import zlib
from typing import Any

_ATOMS = frozenset({str, int, float, bool, type(None)})
_FAST, _RAW, _MEMORY = 1, -15, 8
"""How zlib works: quickly, without header and sum, with the memory that it takes by default."""
_ALIKE = 32_768
"""Bytes of what came before that zlib can refer to."""


class Packing:
    """Packs values by what they have in common with the first of them."""

    def __init__(self) -> None:
        self.like = b""

    def packed(self, value: Any) -> bytes:
        """Return a value of plain data as bytes; raises ValueError for what is none."""
        whole = marshal.dumps(value)
        self.like = self.like or whole[-_ALIKE:]
        how = _FAST, zlib.DEFLATED, _RAW, _MEMORY, zlib.Z_DEFAULT_STRATEGY, self.like
        packer = zlib.compressobj(*how)
        return packer.compress(whole) + packer.flush()


def unpacked(packed: bytes, like: bytes) -> Any:
    """Return the value that was packed by what is `like` it."""
    return marshal.loads(zlib.decompressobj(_RAW, like).decompress(packed))


def is_plain(value: Any) -> bool:
    """Return whether a value comes out of its packing as it went in, types included."""
    kind = type(value)
    if kind in _ATOMS:
        return True
    if kind is dict:
        return all(type(key) is str and is_plain(one) for key, one in value.items())
    return (kind is list or kind is tuple) and all(map(is_plain, value))
