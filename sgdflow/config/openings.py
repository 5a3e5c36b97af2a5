"""Settings of keys that a configuration may leave out: they need no + in front."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hydra.core.override_parser.types import ChoiceSweep, Override, QuotedString

from sgdflow.config import keys
from sgdflow.config.documents import read
from sgdflow.config.paths import conf_folders
from sgdflow.errors import ConfigError

_FREE = ("fallbacks", "models", "parameters", "prices")
"""What is below these names in llm, a user has named."""


def opened(words: Sequence[tuple[str, Override | None]]) -> list[str]:
    """Return words with ++ in front, where their key may be left out of a configuration.

    A model that is named alone keeps what else its role declares, and a role of which
    something else is said keeps its model.
    """
    said = {one.key_or_group: one.value() for _, one in words if one is not None}
    return [opened for word, override in words for opened in _opened(word, override, said)]


def _opened(word: str, override: Override | None, said: Mapping[str, Any]) -> Iterator[str]:
    if override is None or override.is_add() or override.is_force_add() or override.is_delete():
        yield word
        return
    group, *path = override.key_or_group.split(".")
    if (group, path[:1]) == ("llm", ["models"]) and len(path) > 1:
        yield from _of_model(word, override, path, said)
    elif path and _may_be_absent(group, path) and _is_known(override.key_or_group):
        yield f"++{word}"
    else:
        yield word


def _is_known(key: str) -> bool:
    return keys.is_there(key, keys.declared())


def _of_model(
    word: str, override: Override, path: Sequence[str], said: Mapping[str, Any]
) -> Iterator[str]:
    role, declared = path[1], _models()
    taken_out = len(path) == 2 and override.value() is None
    if taken_out or not any(role in models for models in declared.values()):
        yield word  # which may be misspelt
    elif len(path) == 2 and _is_text(override):
        key = override.key_or_group
        yield f"++{key}.model{word.removeprefix(key)}"
    else:
        own, name = f"llm.models.{role}", declared.get(said.get("llm", ""), {}).get(role)
        named = isinstance(said.get(own), str) or f"{own}.model" in said
        if isinstance(name, str) and not named:
            yield f"++{own}.model={name}"
        yield f"++{word}"


def _models() -> Mapping[str, Mapping[str, Any]]:
    """Return the models by role of each file of the group llm."""
    found: dict[str, Mapping[str, Any]] = {}
    for folder in conf_folders():
        for file in sorted((folder / "llm").glob("*.yaml")):
            try:
                conf = read(file)
            except ConfigError:
                continue  # whoever chooses it is told
            models = conf.get("models") if isinstance(conf, Mapping) else None
            found.setdefault(file.stem, models if isinstance(models, Mapping) else {})
    return found


def _may_be_absent(group: str, path: Sequence[str]) -> bool:
    match group, path:
        case "llm", [name, *_]:
            return name not in _FREE
        case "graph", ["forward", *_] | ["nodes", _, "forward" | "backward", *_]:
            return True
    return False


def _is_text(override: Override) -> bool:
    value = override.value()
    values = value.list if isinstance(value, ChoiceSweep) else [value]
    return bool(values) and all(isinstance(one, str | QuotedString) for one in values)
