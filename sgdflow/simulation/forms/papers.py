"""Papers with fields to be coded, and the graphs that code them, generated from a seed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Literal

from sgdflow.data import Example, Pools

FIELDS: Mapping[str, tuple[str, ...]] = {
    "colour": ("red", "green", "blue", "white"),
    "size": ("tiny", "small", "large", "huge"),
    "shape": ("round", "square", "flat", "long"),
    "origin": ("coast", "hills", "plain", "island"),
    "material": ("wood", "steel", "glass", "cloth"),
    "age": ("new", "recent", "old", "ancient"),
    "use": ("home", "farm", "office", "school"),
    "care": ("dry", "cool", "dark", "upright"),
    "owner": ("state", "church", "museum", "private"),
    "value": ("none", "low", "fair", "high"),
}
Kind = Literal["ticket", "form", "dossier"]
"""A ticket goes from hand to hand, and is worked on with care; forms are filled in in a hurry; two
hands begin a dossier, and whoever is told much is distracted."""
_CODES = tuple(f"{letter}{digit}" for letter in "BCDFGHKM" for digit in range(2, 8))
_ENTRY = re.compile(r"\b(\w+) (\w+)(?:=(\w+|\?))?(?=[;.]|$)", re.MULTILINE)
_KIND = re.compile(r"\b(Ticket|Form|Dossier):")


@dataclass(frozen=True, slots=True)
class Paper:
    """Fields with their classes, and the codes that are filled in; "?" where one is not known."""

    kind: str
    entries: Mapping[str, str]
    codes: Mapping[str, str]

    def __str__(self) -> str:
        """Write it down as its readers expect it."""
        said = (
            f"{field} {value}" + (f"={self.codes[field]}" if field in self.codes else "")
            for field, value in self.entries.items()
        )
        return f"{self.kind}: {'; '.join(said) or 'nothing'}."


def read(text: str) -> Paper | None:
    """Return the paper that a text holds; None where it holds none."""
    kind = _KIND.search(text)
    if kind is None:
        return None
    found = [
        (field, value, code)
        for field, value, code in _ENTRY.findall(text[kind.end() :])
        if value in FIELDS.get(field, ())
    ]
    entries = {field: value for field, value, _ in found}
    return Paper(kind[1], entries, {field: code for field, _, code in found if code})


def papers(*, kind: Kind, fields: int, count: int, seed: int) -> Pools:
    """Return papers with their codes; the rules themselves are nowhere in them.

    A quarter of the papers have one field, so that knowledge can start there.
    """
    random = Random(f"{seed}/{kind}/{fields}")
    names = _names(fields)
    rules = {name: dict(zip(FIELDS[name], random.sample(_CODES, 4), strict=True)) for name in names}
    examples = []
    for index in range(count):
        size = 1 if random.random() < 0.25 else random.randint(1, min(4, len(names)))
        chosen = set(random.sample(names, size))
        entries = {name: random.choice(FIELDS[name]) for name in names if name in chosen}
        codes = {name: rules[name][value] for name, value in entries.items()}
        blank = str(Paper(kind.capitalize(), entries, {}))
        filled = str(Paper(kind.capitalize(), entries, codes))
        inputs = {"paper": blank, "question": blank}
        examples.append(Example(f"{kind}/{index}", inputs, filled, drawn=True))
    return Pools(shared=tuple(examples))


def graph(*, name: str, kind: Kind, fields: int) -> Mapping[str, Any]:
    """Return a chain with one hand for each field, or clerks for them and one who joins.

    The first two hands of a dossier's chain both begin; the third is given what both did.
    """
    names = _names(fields)
    before: Sequence[Sequence[str]] = [["paper"]] * len(names)
    if kind == "ticket":
        before = [["paper"], *([name] for name in names[:-1])]
    if kind == "dossier":
        before = [["paper"], ["paper"], names[:2], *([name] for name in names[2:-1])]
    nodes: dict[str, Any] = {
        field: {
            "predecessors": list(given),
            "parameters": {"instruction": f"Fill in the code of the {field}."},
        }
        for field, given in zip(names, before, strict=False)
    }
    if kind == "form":
        nodes["join"] = {
            "predecessors": list(names),
            "parameters": {"instruction": "Join what was filled in."},
        }
    return {"name": name, "inputs": ["paper"], "nodes": nodes, "output": list(nodes)[-1]}


def _names(fields: int) -> tuple[str, ...]:
    if not 1 <= fields <= len(FIELDS):
        raise ValueError(f"fields is {fields}; there are 1 to {len(FIELDS)} fields")
    return tuple(FIELDS)[:fields]
