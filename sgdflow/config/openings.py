"""Settings of keys that a configuration may leave out: they need no + in front."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import ChoiceSweep, Override, QuotedString

from sgdflow.config import declared_keys
from sgdflow.config.documents import read
from sgdflow.config.paths import conf_folder, conf_folders
from sgdflow.config.searchpath import RUN
from sgdflow.errors import ConfigError

_FREE = ("fallbacks", "models", "parameters", "prices")
"""What is below these names in llm, a user has named."""


def opened(words: Sequence[tuple[str, Override | None]]) -> list[str]:
    """Return words with ++ in front, where their key may be left out of a configuration.

    A model that is named alone keeps what else its role declares, and a role of which
    something else is said keeps its model. A function that is named (`_target_`) keeps nothing
    of what was declared in its place.
    """
    said = {one.key_or_group: one.value() for _, one in words if one is not None}
    # Of a function that is taken out (~) the rest stays.
    kept = {one.key_or_group for _, one in words if one is not None and one.is_delete()}
    named = [(name, value) for name, value in said.items() if name not in kept]
    anew = [*dict.fromkeys(key for name, value in named if (key := _anew(name, value)))]
    taken_out = [f"++{key}=null" for key in anew]
    found = []
    for word, override in words:
        if override is not None and _begins(override.key_or_group, anew):
            found.append(word if word.startswith(("+", "~")) else f"++{word}")
        else:
            found += _opened(word, override, said)
    return [*taken_out, *found]


def _anew(key: str, value: Any) -> str | None:
    """Return the key of a function that a word names: it replaces whatever is declared there."""
    above, _, last = key.rpartition(".")
    if last == "_target_":
        return above if _may_be_function(above) else None
    values = value.list if isinstance(value, ChoiceSweep) else [value]
    named = any(isinstance(one, Mapping) and "_target_" in one for one in values)
    return key if named and _may_be_function(key) else None


def _may_be_function(key: str) -> bool:
    match key.split("."):
        case ["method", "loss" | "backward" | "update"] | ["task", "score" | "data"]:
            return True
        case ["graph", "nodes", _, "forward" | "backward"]:
            return True
    return False


def _begins(key: str, above: Sequence[str]) -> bool:
    return any(key == one or key.startswith(f"{one}.") for one in above)


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
    return declared_keys.is_there(key, declared_keys.declared())


def _of_model(
    word: str, override: Override, path: Sequence[str], said: Mapping[str, Any]
) -> Iterator[str]:
    role, declared = path[1], {**_models(), **_of_run(said.get("llm"))}
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


def _of_run(name: object) -> Mapping[str, Mapping[str, Any]]:
    """Return the models by role where those of a run are taken."""
    if not isinstance(name, str) or not name.startswith(f"{RUN}/"):
        return {}
    conf = read(Path(name.removeprefix(f"{RUN}/"), "config.yaml"))
    models = conf.get("llm", {}).get("models") if isinstance(conf, Mapping) else None
    return {name: models} if isinstance(models, Mapping) else {}


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
            if folder == conf_folder():
                found[f"sgdflow/{file.stem}"] = models if isinstance(models, Mapping) else {}
    return found


def _may_be_absent(group: str, path: Sequence[str]) -> bool:
    match group, path:
        case "llm", [name, *_]:
            return name not in _FREE
        case "graph", ["forward", *_] | ["nodes", _, "forward" | "backward", *_]:
            return True
        case "task", ["score", *_]:  # of another form than the shipped one
            return True
        case "method", ["update", "demonstrations", *_]:  # of no use to most graphs
            return True
        case "method", ["stop", "budget", "roles", *_]:  # by name, and there is none at first
            return True
        case "probe", _:  # of no use to a configuration of one's own that runs alone
            return True
    return False


def _is_text(override: Override) -> bool:
    value = override.value()
    values = value.list if isinstance(value, ChoiceSweep) else [value]
    return bool(values) and all(isinstance(one, str | QuotedString) for one in values)
