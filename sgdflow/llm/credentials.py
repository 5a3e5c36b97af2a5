"""The secrets that calls are made with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from sgdflow.llm.models import ModelSpec
from sgdflow.secrets import in_address, looks_secret

Models = Mapping[str, ModelSpec]

_PROXIES = ("http_proxy", "https_proxy", "all_proxy")
_SECRETIVE = ("_API_KEY", "_TOKEN", "_SECRET", "_PASSWORD")
_NAMES = {"\n": "a line end", "\r": "a line end", " ": "a space", "\t": "a tab"}
_LONG = 12
"""Letters from which on nobody writes the same by chance: "none" and "local" are keys, too."""


def check_keys(models: Mapping[str, ModelSpec], environ: Mapping[str, str]) -> list[str]:
    """Return one message for each key that cannot be used; nothing is called or imported."""
    roles: dict[str, list[str]] = {}
    wrong: dict[str, str] = {}
    for role, declared in models.items():
        for spec in declared.line:
            variable = spec.api_key_env
            if variable is not None and (told := _wrong(environ.get(variable, ""), spec, variable)):
                wrong.setdefault(variable, told)
                roles.setdefault(variable, []).append(role)
    return [f"{_roles(concerned)}: {wrong[name]}" for name, concerned in roles.items()]


def _wrong(key: str, spec: ModelSpec, variable: str) -> str:
    """Say why a key cannot be sent; empty where it can."""
    if not key.strip():
        return (
            f"the model {spec.model} needs the environment variable {variable}, which is not set. "
            "Set it, or choose another llm (llm=simulated needs none)."
        )
    odd = next((at for at, letter in enumerate(key) if not " " < letter < "\x7f"), None)
    if odd is None:
        return ""
    return (
        f"the key in {variable} holds {_NAMES.get(key[odd], f'U+{ord(key[odd]):04X}')} at position "
        f"{odd + 1} of {len(key)}, which no key does. Set the variable again without it."
    )


def _roles(concerned: Sequence[str]) -> str:
    roles = list(dict.fromkeys(concerned))
    also = f" (and {', '.join(roles[1:])})" if len(roles) > 1 else ""
    return f"llm.models.{roles[0]}{also}"


def sent(models: Models, environ: Mapping[str, str]) -> Iterator[str]:
    """Yield the secrets that go out with calls and are long enough to be told from words."""
    for declared in models.values():
        for spec in declared.line:
            found = [environ.get(spec.api_key_env or "", ""), *_in(" ".join(spec.addresses))]
            found += _texts(spec.parameters, looks_secret)
            yield from (secret for secret in found if len(secret) >= _LONG)
    for name, value in environ.items():
        if name.lower() in _PROXIES:
            yield from (secret for secret in _in(value) if len(secret) >= _LONG)


def around(models: Models, environ: Mapping[str, str]) -> Iterator[str]:
    """Yield what else is kept out of messages: headers, and secrets of the environment."""
    for declared in models.values():
        for spec in declared.line:
            yield from _in(" ".join(spec.addresses))
            headers = _texts(spec.parameters, lambda name: name.lower().endswith("headers"))
            yield from (header for header in headers if len(header) > 7)
    for name, value in environ.items():
        if name.upper().endswith(_SECRETIVE) and len(value) > 7:
            yield value
        elif name.lower() in _PROXIES:
            yield from _in(value)


def _texts(data: Any, wanted: Callable[[str], bool], below: bool = False) -> Iterator[str]:
    """Yield the texts of parameters below the names that are wanted."""
    if isinstance(data, Mapping):
        for key, value in data.items():
            yield from _texts(value, wanted, below or wanted(str(key)))
    elif isinstance(data, list | tuple):
        for value in data:
            yield from _texts(value, wanted, below)
    elif isinstance(data, str) and below:
        # An authorization is a word for its kind, then the secret.
        yield from {data, data.rpartition(" ")[2]}


def _in(address: str) -> list[str]:
    return [address[start:end] for start, end in in_address(address)]
