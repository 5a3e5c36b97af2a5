"""How secrets are known: by the names of what holds them, by where they stand, by their looks."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from typing import Any

_SECRET = re.compile(
    r"(^|_)(api_?key|(access|private|secret)_key|secret|password|passwd|passphrase|token|bearer"
    r"|credentials?|auth|authorization|cookie)(_|$)"
)
KEYS = re.compile(
    r"\b(?:sk|rk|pk)-[\w*-]{8,}|\bgsk_\w{8,}|\bAIza[\w-]{20,}|\bbearer\s+[\w*.~+/=-]{8,}",
    re.IGNORECASE,
)
"""What looks like a key wherever it stands."""
_LOGIN = re.compile(r"(?<=://)(?P<user>[^/@\s:?#]*):(?P<secret>[^/\s]*)@")
_TOKEN = re.compile(r"(?<=://)(?P<secret>[^/@\s:?#]+)@")
_QUERY = re.compile(r"[?&](?P<key>[\w.\-]+)=(?P<secret>[^&#\s'\"]+)")
_SHORT_NAMES = frozenset({"key", "sig", "signature"})


def looks_secret(key: str) -> bool:
    """Say whether a configuration key (one part of a dotted path) may hold a secret.

    One that ends in `env` names the variable that holds it.
    """
    plain = re.sub(r"(?<=[a-z])(?=[A-Z])|[\s\-]", "_", key).lower()
    return not plain.endswith("_env") and _SECRET.search(plain) is not None


def in_address(text: str) -> Iterator[tuple[int, int]]:
    """Yield where the secrets of addresses stand in a text: passwords, and keys of their queries.

    A user without a password counts where it is all that a web address is given.
    """
    for found in _LOGIN.finditer(text):
        if found["secret"]:
            yield found.span("secret")
    for found in _TOKEN.finditer(text):
        if text[: found.start()].lower().endswith(("http://", "https://")):
            yield found.span("secret")
    if "://" in text:
        for found in _QUERY.finditer(text):
            if found["key"].lower() in _SHORT_NAMES or looks_secret(found["key"]):
                yield found.span("secret")


def masked(text: str) -> str:
    """Return the text without the secrets of addresses in it."""
    for start, end in sorted(in_address(text), reverse=True):
        text = f"{text[:start]}***{text[end:]}"
    return text


class Redactor:
    """Takes secrets out of what is shown or recorded, never out of what is sent or scored."""

    def __init__(self, secrets: Iterable[str]) -> None:
        # Placeholders such as "none" are no secrets, and replacing them would garble messages.
        self._secrets = sorted({s for s in secrets if len(s) > 4}, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """Return the text without the secrets and anything else that looks like a key."""
        return KEYS.sub("[key]", self.own(text))

    def own(self, text: str) -> str:
        """Return the text without the secrets; all else stays as it is."""
        for secret in self._secrets:
            text = text.replace(secret, "[key]")
        return text

    def record(self, data: Any) -> Any:
        """Return nested data without the secrets."""
        if not self._secrets:
            return data
        if isinstance(data, str):
            return self.own(data)
        if isinstance(data, Mapping):
            return {self.record(key): self.record(value) for key, value in data.items()}
        return [self.record(one) for one in data] if isinstance(data, list | tuple) else data


class Seal:
    """Keeps secrets out of a file whose texts have to be read back as they were.

    What stands for a secret is made of it: nobody who does not know the secret can write what
    would be read as one.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        self._signs = {
            secret: f"[key:{sha256(secret.encode()).hexdigest()[:16]}]"
            for secret in sorted(set(secrets), key=len, reverse=True)
        }

    def hide(self, text: str) -> str:
        """Return the text with signs in place of the secrets, also of those inside JSON."""
        for secret, sign in self._signs.items():
            text = text.replace(secret, sign).replace(json.dumps(secret)[1:-1], sign)
        return text

    def show(self, text: str) -> str:
        """Return the text that was hidden."""
        for secret, sign in self._signs.items():
            text = text.replace(sign, secret)
        return text
