"""Keys of a command line that a configuration does not have, and what may be meant by them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from sgdflow.config import declared_keys
from sgdflow.config.documents import read
from sgdflow.config.paths import conf_folders
from sgdflow.config.words import groups
from sgdflow.errors import ConfigError, did_you_mean, listed


def lacking(key: str, word: str, tree: declared_keys.Tree) -> str:
    """Say what may be meant by a key that is not in the configuration."""
    schema, told = declared_keys.declared(), f"{key}: there is no such key."
    if key in groups():
        return (
            f"{key}: takes the name of a choice. What it is to hold is written into "
            f"{Path.cwd()}/conf/{key}/NAME.yaml and chosen with {key}=NAME; a value of what is "
            f"chosen is set with {key}.KEY=VALUE."
        )
    if choices := _choices_with(key):
        has = "has" if len(choices) == 1 else "have"
        add = f" To add it: +{word}" if declared_keys.is_free(key, schema) else ""
        return f"{key}: this configuration has no such key. {listed(choices)} {has} it.{add}"
    if not declared_keys.is_there(key, schema):
        instead = declared_keys.meant(key, tree, schema)
        return f"{told} {meant(instead) if instead else _around(key, tree, schema)}"
    parent = key.rpartition(".")[0]
    instead = [one for one in declared_keys.meant(key, tree) if one.rpartition(".")[0] == parent]
    if not instead and (others := _beside(key, tree, schema)):
        return f"{key}: {others} To add it all the same: +{word}"
    if not instead:
        return f"{key}: is not set in this configuration. To set it, add a +: +{word}"
    return f"{told} {meant(instead)} To add it all the same: +{word}"


def _beside(key: str, tree: declared_keys.Tree, schema: declared_keys.Tree) -> str:
    """Say which names there are where a name on the way to a key is none of them."""
    path = key.split(".")
    for count in range(1, len(path) - 1):
        above, name = ".".join(path[:count]), path[count]
        there = declared_keys.within(above, tree) if declared_keys.is_there(above, tree) else None
        if not isinstance(there, Mapping) or not there:
            break
        if name not in there and name not in declared_keys.within(above, schema):
            like = did_you_mean(name, map(str, there))
            return f"there is no '{name}' in {above}.{like} It has: {listed(map(str, there))}."
    return ""


def _choices_with(key: str) -> list[str]:
    """Return the shipped choices of a group that have a key which the chosen one lacks."""
    group, _, rest = key.partition(".")
    found = []
    for name, content in files_of(group) if rest else ():
        with suppress(KeyError):
            declared_keys.within(rest, content)
            found.append(f"{group}={name}")
    return found


def files_of(group: str) -> Iterator[tuple[str, Any]]:
    """Yield the choices of a group with what stands in them."""
    files = [file for folder in conf_folders() for file in (folder / group).glob("*.yaml")]
    for file in sorted(files):
        with suppress(ConfigError):
            yield file.stem, read(file)


def meant(names: Sequence[str]) -> str:
    """Ask whether one of several names is meant."""
    *most, last = (f"'{name}'" for name in names)
    return f"Did you mean {' or '.join([*filter(None, [', '.join(most)]), last])}?"


def _around(key: str, *trees: declared_keys.Tree) -> str:
    """Say which keys there are where a wrong one was looked for."""
    parent = key.rpartition(".")[0]
    found: dict[str, None] = {}
    known = False
    for tree in trees:
        if parent and not declared_keys.is_there(parent, tree):
            continue
        below, known = declared_keys.within(parent, tree) if parent else tree, True
        if isinstance(below, Mapping):
            found |= dict.fromkeys(str(name) for name in below if name != declared_keys.ANY)
    if not found:
        return f"{parent} is no mapping." if known else f"There is no '{parent}' either."
    names = listed(sorted(found))
    return f"{parent} has: {names}." if parent else f"There are: {names}."
