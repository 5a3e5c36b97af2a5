"""What of a configuration is a secret: it is kept out of what a run leaves with others."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

NOT_LOGGED = "(not logged)"
_SECRET = re.compile(
    r"(^|_)(api_?key|(access|private|secret)_key|secret|password|passwd|passphrase|token|bearer"
    r"|credentials?|auth|authorization|cookie)(_|$)"
)


def looks_secret(key: str) -> bool:
    """Say whether a configuration key (one part of a dotted path) may hold a secret."""
    return _SECRET.search(re.sub(r"(?<=[a-z])(?=[A-Z])|[\s\-]", "_", key).lower()) is not None


def without_secrets(data: Any) -> Any:
    """Return nested data with every value below a secret-looking key replaced."""
    if isinstance(data, Mapping):
        return {
            key: NOT_LOGGED
            if value is not None and looks_secret(str(key))
            else without_secrets(value)
            for key, value in data.items()
        }
    if isinstance(data, list | tuple):
        return [without_secrets(value) for value in data]
    return masked(data) if isinstance(data, str) else data


def masked(text: str) -> str:
    """Return the text without the passwords of addresses in it."""
    return re.sub(r"(://[^/@\s:]*):[^/@\s]*@", r"\1:***@", text)
