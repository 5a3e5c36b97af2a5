"""Examples that cannot be asked or scored: found when they are read, each with its place."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Literal

from sgdflow.data.examples import SPLITS, Example, Pools
from sgdflow.errors import DataError, listed, plural

Missing = Literal["refuse", "drop", "keep"]
PARTS = ("shared", *SPLITS)
_SHOWN = 3
_FILE = re.compile(
    r"data:((?:image|audio|video)/[\w.+-]+|application/pdf)[\w;=.+-]*;base64,[A-Za-z0-9+/=\s]{64}"
)


@dataclass(frozen=True, slots=True)
class Columns:
    """How a user calls what examples hold."""

    inputs: Mapping[str, str]
    """Column by input, where they come from a table."""
    target: str | None
    images: frozenset[str] = frozenset()
    """Inputs that a node is shown as images."""

    def of_input(self, name: str) -> str:
        """Return words for an input."""
        return f"column '{self.inputs[name]}'" if name in self.inputs else f"input '{name}'"

    def of_target(self) -> str:
        """Return words for the target."""
        return f"column '{self.target}'" if self.target else "the target"


def checked(
    pools: Pools, columns: Columns, missing: Missing, *, targets: bool = True
) -> tuple[Pools, str]:
    """Return the examples that can be used, and in words what was done to the others.

    Raises DataError that names them: with `refuse` all, with `keep` those that cannot be sent.
    Without `targets` an example needs none.
    """
    flawed = [
        (example.id, f"{example.place}: {told}", fatal)
        for part in PARTS
        for example in getattr(pools, part)
        if (found := _flaw(example, columns, targets)) is not None
        for told, fatal in [found]
    ]
    refused = [
        told for _, told, fatal in flawed if missing == "refuse" or (missing == "keep" and fatal)
    ]
    if refused:
        keeping = missing == "refuse" and not any(fatal for _, _, fatal in flawed)
        raise DataError(f"{several(refused)}\n{_DROP}{_KEEP if keeping else '.'}")
    if not flawed:
        return pools, ""
    first, rows = flawed[0][1], plural(len(flawed), "row")
    if missing == "keep":
        return pools, f"{rows} with a missing value (task.missing=keep): {first}"
    left = {name for name, _, _ in flawed}
    kept = {
        part: tuple(one for one in getattr(pools, part) if one.id not in left) for part in PARTS
    }
    return replace(pools, **kept), f"{rows} left out (task.missing=drop): {first}"


def doubtful(pools: Pools, columns: Columns) -> Iterator[str]:
    """Yield words about texts that may stand for a missing value, which text files cannot tell."""
    found: dict[str, list[str]] = {}
    for part in PARTS:
        for example in getattr(pools, part):
            values = [(columns.of_input(name), value) for name, value in example.inputs.items()]
            for words, value in [*values, (columns.of_target(), example.target)]:
                text = value.strip() if isinstance(value, str) else None
                if text in _NONE:
                    told = f"{words} is {repr(text) if text else 'empty'}"
                    found.setdefault(told, []).append(example.place)
    for told, places in found.items():
        rows = plural(len(places), "row")
        first = places[0] if len(places) == 1 else f"the first: {places[0]}"
        yield f"{told} in {rows}, and used as it is ({first})"


def of_field(pools: Pools, field: str) -> Pools:
    """Return the examples with a field of their targets for a target; raises DataError."""
    found: dict[str, list[Example]] = {part: [] for part in PARTS}
    lacking: list[str] = []
    for part in PARTS:
        for example in getattr(pools, part):
            target = example.target
            if isinstance(target, Mapping) and field in target:
                found[part].append(replace(example, target=target[field]))
            else:
                has = listed(map(str, target)) if isinstance(target, Mapping) else "no fields"
                lacking.append(f"{example.place}: the target has no '{field}'. It has: {has}.")
    if lacking:
        raise DataError(f"task.data: {several(lacking)}")
    return Pools(**{part: tuple(examples) for part, examples in found.items()})


def unusable(
    pools: Pools, columns: Columns, problems: Callable[[Sequence[Any]], Mapping[int, str]]
) -> str:
    """Return lines about the targets with which a scorer can do nothing; empty for none."""
    examples = [example for part in PARTS for example in getattr(pools, part)]
    found = problems([example.target for example in examples])
    return several(
        [f"{examples[at].place}: {columns.of_target()}: {told}." for at, told in found.items()]
    )


def several(told: Sequence[str]) -> str:
    """Return lines, of very many only the first."""
    more = [f"and {plural(len(told) - _SHOWN, 'more row')}."] if len(told) > _SHOWN else []
    return "\n".join([*told[:_SHOWN], *more])


def absent(value: Any) -> str | None:
    """Return what stands where a value is missing, None where it is not."""
    if value is None:
        return "null"
    if isinstance(value, float) and value != value:
        return "NaN"
    if isinstance(value, Decimal) and value.is_nan():
        return "NaN"
    # pandas has marks of its own.
    return type(value).__name__ if type(value).__name__ in ("NAType", "NaTType") else None


def unsendable(value: Any, *, image: bool = False) -> str | None:
    """Return why a value cannot be sent to a model or stored, None where it can.

    `image`: it is shown as an image, and not as text.
    """
    if image and isinstance(value, str) and value.startswith("data:image/"):
        return None
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            try:
                one.encode("utf-8")
            except UnicodeEncodeError as error:
                half = f"U+{ord(one[error.start]):04X}"
                return f"half a character ({half}, a lone surrogate) at position {error.start + 1}"
            if "base64," in one and (file := _FILE.search(one)):
                return (
                    f"a file as text ({file[1]}, {len(one):,} letters); show an image as one "
                    "(graph.nodes.NODE.forward.images), and leave out other files, or describe "
                    "them in words"
                )
        elif isinstance(one, Mapping):
            waiting += [*one.keys(), *one.values()]
        elif isinstance(one, list | tuple | set | frozenset):
            waiting += one
    return None


def _flaw(example: Example, columns: Columns, targets: bool) -> tuple[str, bool] | None:
    """Return what is wrong with an example, and whether it can not be used at all."""
    for name, value in example.inputs.items():
        if found := unsendable(value, image=name in columns.images):
            return f"{columns.of_input(name)} holds {found}.", True
    for value, words in ((example.target, columns.of_target()), (example.id, "the id")):
        if found := unsendable(value):
            return f"{words} holds {found}.", True
    for name, value in example.inputs.items():
        if found := absent(value):
            return f"{columns.of_input(name)} is {found}.", False
    told = next(_absent_targets(example.target, columns), None) if targets else None
    return (told, False) if told else None


def _absent_targets(target: Any, columns: Columns) -> Iterator[str]:
    """Yield what is missing of a target, which may have fields."""
    parts = [(columns.of_target(), target)]
    if isinstance(target, Mapping):
        parts = [(f"field '{name}' of the target", value) for name, value in target.items()]
    for words, value in parts:
        found = "empty" if isinstance(value, str) and not value.strip() else absent(value)
        if found:
            yield f"{words} is {found}."


_NONE = frozenset({"", "nan", "NaN", "NaT", "<NA>", "#N/A", "null", "NULL"})
"""What other programs write for a missing value, and hardly anybody for a text."""
_DROP = "Mend these rows, or set task.missing=drop to leave them out"
_KEEP = ", or task.missing=keep to use missing values as they are."
