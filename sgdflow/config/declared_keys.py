"""The keys that a configuration has or may have, and which of them a wrong one stands for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import SequenceMatcher
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from sgdflow.config.schema import Config

Tree = Mapping[str, Any]
"""Keys within keys; whatever is no mapping ends a branch."""

ANY = "*"
"""Stands in the tree of declared keys for a name that a user chooses."""
_CLOSE, _CLOSE_HERE = 0.75, 0.6
"""How alike a key must be that stands elsewhere, and one that stands beside the wrong one."""
_BESIDE, _SPREAD, _MOST = 0.5, 0.12, 3


def declared() -> Tree:
    """Return the keys that the schema knows."""
    return _tree_of(Config)


def within(key: str, tree: Tree) -> Any:
    """Return what stands at a dotted key; raises KeyError where nothing may."""
    here: Any = tree
    for part in key.split("."):
        if not isinstance(here, Mapping):
            raise KeyError(key)
        here = here[part] if part in here else here[ANY]
    return here


def is_there(key: str, tree: Tree) -> bool:
    """Say whether something stands, or may stand, at a dotted key."""
    try:
        within(key, tree)
    except KeyError:
        return False
    return True


def is_free(key: str, tree: Tree) -> bool:
    """Say whether a dotted key ends in a name that a user chooses."""
    try:
        return ANY in within(key.rpartition(".")[0], tree)
    except (KeyError, TypeError):
        return False


def meant(key: str, *trees: Tree) -> list[str]:
    """Return the keys that a wrong one may stand for, the most likely first."""
    hydra = key.startswith("hydra.")
    known = dict.fromkeys(one for tree in trees for one in _dotted(tree))
    found = {one: _likeness(key, one) for one in known if one.startswith("hydra.") == hydra}
    best = max(found.values(), default=0.0)
    close = [one for one, like in found.items() if like and like >= best - _SPREAD]
    return sorted(close, key=lambda one: -found[one])[:_MOST]


def _likeness(wrong: str, known: str) -> float:
    """Return how likely one key stands for another: 0 for not at all."""
    above, _, last = wrong.rpartition(".")
    other_above, _, other = known.rpartition(".")
    ratio = SequenceMatcher(None, last, other).ratio()
    if ratio < (_CLOSE_HERE if above == other_above else _CLOSE):
        return 0.0
    return ratio + _BESIDE * SequenceMatcher(None, above.split("."), other_above.split(".")).ratio()


def _dotted(tree: Tree, path: str = "") -> Iterator[str]:
    for key, below in tree.items():
        if key == ANY:
            continue
        here = f"{path}.{key}" if path else str(key)
        yield here
        if isinstance(below, Mapping):
            yield from _dotted(below, here)


def _tree_of(annotation: object) -> dict[str, Any]:
    """Return the keys below a value of this type."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        fields = {
            field.alias or name: _tree_of(field.annotation)
            for name, field in annotation.model_fields.items()
        }
        free = annotation.model_config.get("extra") == "allow"
        return {**fields, ANY: {}} if free else fields
    if annotation is Any:
        return {ANY: {}}
    if get_origin(annotation) in (dict, Mapping):
        return {ANY: _tree_of(get_args(annotation)[1])}
    found: dict[str, Any] = {}
    for part in get_args(annotation):
        found |= _tree_of(part)
    return found
