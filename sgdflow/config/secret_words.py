"""Takes secrets out of the words of a command line, before anything is made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.override_parser.types import ChoiceSweep, Override, Quote, QuotedString

from sgdflow.config.words import parsed
from sgdflow.config.written import conceal
from sgdflow.errors import ConfigError


def without_secrets(words: Sequence[str]) -> tuple[list[str], Mapping[str, str]]:
    """Return the words with references in place of secrets, and the secrets by their names.

    So they are in nothing that Hydra, its launchers or its logs write of a command.
    """
    given: dict[str, str] = {}
    return [_hidden(word, given) for word in words], given


def _hidden(word: str, given: dict[str, str]) -> str:
    key, equals, text = word.partition("=")
    if not equals or not text or word.startswith("--"):
        return word
    path = tuple(key.lstrip("+~").partition("@")[0].replace("/", ".").split("."))
    override = parsed(word)
    # What nobody can read is taken for a text; a message about it would repeat the secret.
    value = text if override is None else _value(override)
    shown = _changed(path, value, given)
    if shown == value:
        return word
    if override is None and text.startswith(("{", "[")):
        raise ConfigError(
            f"{key}: the value cannot be read, and is not shown because of what it may hold. Write "
            f'\'{key}={{name: "value", name: "value"}}\', texts in quotes.'
        )
    return f"{key}={_printed(shown)}"


def _value(override: Override) -> Any:
    value = override.value()
    if isinstance(value, ChoiceSweep):
        return _Choice(Override._convert_value(one) for one in value.list)
    return value


class _Choice(tuple[Any, ...]):
    """The values of a sweep."""


def _changed(path: tuple[str, ...], value: Any, given: dict[str, str]) -> Any:
    if isinstance(value, _Choice):
        return _Choice(_changed(path, one, given) for one in value)
    if isinstance(value, Mapping):
        return {key: _changed((*path, str(key)), one, given) for key, one in value.items()}
    if isinstance(value, list):
        return [_changed((*path, str(at)), one, given) for at, one in enumerate(value)]
    return conceal(path, value, given)


def _printed(value: Any) -> str:
    """Return a value in Hydra's own words."""
    if isinstance(value, _Choice):
        return ",".join(map(_printed, value))
    if isinstance(value, Mapping):
        pairs = (f"{key}:{_printed(one)}" for key, one in value.items())
        return f"{{{','.join(pairs)}}}"
    if isinstance(value, list):
        return f"[{','.join(map(_printed, value))}]"
    if isinstance(value, str):
        return QuotedString(value, Quote.single).with_quotes()
    if isinstance(value, bool):
        return str(value).lower()
    return "null" if value is None else str(value)
