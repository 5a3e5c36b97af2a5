"""What of a configuration is written down: values from the environment and secrets are not.

In their place stands `${oc.env:NAME}`. For a secret that was given as it is, the name is made of
its key: SGDFLOW_LLM_PARAMETERS_EXTRA_HEADERS_AUTHORIZATION. Where such a configuration is run
again, the variables have to be set.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from omegaconf import DictConfig

from sgdflow.config.environment import (
    Path,
    Unset,
    escaped,
    followed,
    mapped,
    names,
    reference,
    with_references,
    with_values,
)
from sgdflow.secrets import KEYS, in_address, looks_secret

_CHOSEN = (
    "graph.nodes.*", "llm.models.*", "llm.fallbacks.*", "llm.prices.*", "llm.limits.roles.*",
    "llm.assumed.tokens.*", "method.stop.budget.roles.*", "method.sequence.*",
    "method.sequence.*.method.stop.budget.roles.*", "task.inputs.*",
)  # fmt: skip
"""Where the last part of a key is a name of the user's own choice, which says nothing."""


@dataclass(frozen=True, slots=True)
class Composed(Mapping[str, Any]):
    """A configuration with its values, which knows how it is written down."""

    resolved: Mapping[str, Any] = field(repr=False)
    written: Mapping[str, Any]
    given: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Secrets that were given as they are, by the names that stand for them."""
    lacking: tuple[str, ...] = ()
    """What cannot be run without variables that are not set, in messages."""

    def __getitem__(self, key: str) -> Any:
        return self.resolved[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.resolved)

    def __len__(self) -> int:
        return len(self.resolved)


def composed(config: DictConfig, given: Mapping[str, str] | None = None) -> Composed:
    """Return a composed configuration; `given` is taken for a part of the environment."""
    known = dict(given or {})
    resolved = with_values(config, {**os.environ, **known})
    written, more = concealed(with_references(config))
    return Composed(_short(resolved), _short(written), known | more)


def _short(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return it with each model of which only the name is told as that name."""
    llm = config.get("llm")
    models = llm.get("models") if isinstance(llm, Mapping) else None
    if not isinstance(llm, Mapping) or not isinstance(models, Mapping):
        return config
    short = {
        role: one["model"] if isinstance(one, Mapping) and [*one] == ["model"] else one
        for role, one in models.items()
    }
    return {**config, "llm": {**llm, "models": short}}


def read(written: Mapping[str, Any], given: Mapping[str, str] | None = None) -> Composed:
    """Return the configuration that was written so.

    `given` are values that stand for variables. Where one is not set, its reference stays.
    """
    hidden, more = concealed(written)
    known = {**(given or {}), **more}
    environ = {**os.environ, **known}
    lacking: list[str] = []

    def resolve(path: Path, value: Any) -> Any:
        where = ".".join(path)
        try:
            return followed(value, environ)
        except Unset as unset:
            lacking.append(
                f"{where}: it refers to the environment variable {unset}, which is not set. "
                f"Set it, or say {where}=VALUE."
            )
        except ValueError as error:
            lacking.append(f"{where}: {error}")
        return value

    return Composed(mapped(hidden, resolve), hidden, known, tuple(lacking))


def written_of(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return how a configuration is written down."""
    if isinstance(config, Composed):
        return config.written
    return concealed(mapped(config, lambda _, value: escaped(value)))[0]


def lacking(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return why a configuration cannot be run in this environment, a message for each reason."""
    return config.lacking if isinstance(config, Composed) else ()


def references(written: Mapping[str, Any]) -> Mapping[str, Sequence[str]]:
    """Return the environment variables that a written configuration names, by dotted key."""
    found: dict[str, Sequence[str]] = {}

    def see(path: Path, value: Any) -> Any:
        if named := names(value):
            found[".".join(path)] = named
        return value

    mapped(written, see)
    return found


def referring(values: Any, written: Any) -> Any:
    """Return the values with the references that stand in their place in what is written."""
    if isinstance(values, Mapping) and isinstance(written, Mapping):
        return {key: referring(value, written.get(key)) for key, value in values.items()}
    if isinstance(values, list) and isinstance(written, list) and len(values) == len(written):
        return [referring(*pair) for pair in zip(values, written, strict=True)]
    return written if names(written) else escaped(values)


def concealed(config: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return nested data with references in place of secrets, and the secrets by their names."""
    given: dict[str, str] = {}
    return mapped(config, lambda path, value: conceal(path, value, given)), given


def shown_at(key: str, value: Any) -> Any:
    """Return the value at a dotted key as a message may show it."""
    path = tuple(key.split("."))
    return mapped(value, lambda inner, one: conceal((*path, *inner), one, {}))


def conceal(path: Path, value: Any, given: dict[str, str]) -> Any:
    """Return the value at a path or, where it holds a secret, what refers to it; note it.

    What refers to something already stays as it is.
    """
    if value is None or isinstance(value, bool) or (isinstance(value, str) and "${" in value):
        return value
    if _is_secret(path):
        return _referred(path, str(value), given)
    if not isinstance(value, str) or path[0] == "graph":
        return value
    if KEYS.search(value):
        return _referred(path, value, given)
    parts, before = [], 0
    for start, end in sorted(in_address(value)):
        parts += [value[before:start], _referred((*path, "secret"), value[start:end], given)]
        before = end
    return "".join([*parts, value[before:]])


def _referred(path: Path, secret: str, given: dict[str, str]) -> str:
    name = re.sub(r"[^A-Z0-9]+", "_", "_".join(("SGDFLOW", *path)).upper()).strip("_")
    while given.setdefault(name, secret) != secret:
        name += "_2"
    return reference(name)


def _is_secret(path: Path) -> bool:
    """Say whether a key tells that what stands there is a secret."""
    if path[0] == "graph" and "parameters" in path:
        return False
    if path[0] == "llm" and any(part.lower().endswith("headers") for part in path):
        return True
    own = {
        len(parts) - 1
        for parts in (pattern.split(".") for pattern in _CHOSEN)
        if len(parts) <= len(path) and all(a in ("*", b) for a, b in zip(parts, path, strict=False))
    }
    return any(looks_secret(part) for at, part in enumerate(path) if at not in own)
