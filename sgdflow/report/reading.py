"""A run directory read back, with the graph that it declares."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from heapq import nsmallest
from pathlib import Path
from typing import Any

from sgdflow.config import documents
from sgdflow.errors import ConfigError, looked_in, shortly
from sgdflow.records.folder import FORMAT, READ
from sgdflow.records.texts import TEXTS, Texts, Whole, reading
from sgdflow.records.words import as_text

Record = Mapping[str, Any]
_STEPS, _CALLS, _EXAMPLES = "steps.jsonl", "calls.jsonl", "examples.jsonl"
_SHOWN = 300
"""Examples that a page shows at most."""


@dataclass(frozen=True, slots=True)
class Run:
    """What the files of a run directory hold (docs/files.md)."""

    folder: Path
    config: Record
    initial: Record
    """Parameters that the run began with."""
    parameters: Record
    steps: tuple[Record, ...]
    worst: tuple[Record, ...]
    """Examples that are not all right, those of the test split last; no more than a page shows."""
    left_out: int
    """How many more there are."""
    result: Record | None
    """None: the run has not ended."""
    missing: tuple[str, ...]
    """Files that are not there, or end in the middle of a line."""

    @property
    def steps_size(self) -> int:
        """Return the size of steps.jsonl in bytes, with its part of the texts."""
        return _size(self.folder, _STEPS)

    @property
    def calls_size(self) -> int:
        """Return the size of calls.jsonl in bytes, with its part of the texts."""
        return _size(self.folder, _CALLS)

    def calls(self) -> Iterator[tuple[Record, Whole]]:
        """Yield the lines of calls.jsonl one by one, each with what gives a part of it whole.

        Together they can be larger than memory, and each with all its texts.
        """
        with reading(self.folder) as texts:
            yield from _lines(self.folder / _CALLS, [], texts)


def read(folder: Path) -> Run:
    """Read a run directory, also of a run that was stopped; raises ConfigError."""
    if not (folder / "config.yaml").is_file():
        if not folder.is_dir():
            raise ConfigError(f"There is no directory {folder}.{looked_in(folder)}")
        raise ConfigError(
            f"{folder} is not a run directory: it has no config.yaml. Give the directory that "
            "sgdflow optimize printed as its last line."
        )
    missing: list[str] = []
    config = _yaml(folder / "config.yaml", missing)
    initial = _yaml(folder / "initial.yaml", [])
    parameters = _yaml(folder / "parameters.yaml", missing)
    with reading(folder) as texts:
        found = _lines(folder / _STEPS, missing, texts)
        steps = tuple(whole(step) for step, whole in found)
        worst, left_out = _worst(_lines(folder / _EXAMPLES, missing, texts))
    result = _result(folder / "result.json")
    read_back = folder, config, initial, parameters, steps, worst, left_out
    return Run(*read_back, result, tuple(missing))


def _worst(examples: Iterable[tuple[Record, Whole]]) -> tuple[tuple[Record, ...], int]:
    """Return the examples that are not all right, as many as are shown, and how many are more.

    They are looked at one by one: together they can be larger than memory.
    """
    count = 0

    def wrong() -> Iterator[tuple[Record, Whole]]:
        nonlocal count
        for one, whole in examples:
            if one["final"] is None or one["final"] < 1:
                count += 1
                yield one, whole

    def place(found: tuple[Record, Whole]) -> tuple[bool, float]:
        one, _ = found
        # Failures have no score and stand before the lowest.
        return one["split"] == "test", -1 if one["final"] is None else one["final"]

    shown = nsmallest(_SHOWN, wrong(), place)
    return tuple(whole(one) for one, whole in shown), count - len(shown)


def _yaml(file: Path, missing: list[str]) -> Record:
    if not file.exists():
        missing.append(file.name)
        return {}
    found = documents.read(file)
    return found if isinstance(found, dict) else {}


def _lines(file: Path, missing: list[str], texts: Texts) -> Iterator[tuple[Record, Whole]]:
    """Yield the records of a file, each with what gives its parts with all texts in place."""

    def cut() -> None:  # its writing was interrupted
        missing.append(f"the last line of {file.name}")

    try:
        for number, record in enumerate(documents.read_lines(file, cut), start=1):
            where = f"{file}, line {number}"
            yield _checked(record, where), texts.of(record, where)
    except FileNotFoundError:
        missing.append(file.name)


def _size(folder: Path, name: str) -> int:
    """Return the size of a file with its part of the texts, which nobody counts by file."""
    sizes = {
        file: (folder / file).stat().st_size if (folder / file).is_file() else 0
        for file in (_STEPS, _CALLS, _EXAMPLES, TEXTS)
    }
    texts = sizes.pop(TEXTS)
    return sizes[name] + texts * sizes[name] // max(1, sum(sizes.values()))


def _result(file: Path) -> Record | None:
    return _checked(documents.read(file), str(file)) if file.exists() else None


def _checked(record: Any, where: str) -> Record:
    if not isinstance(record, dict) or record.get("format") not in READ:
        found = record.get("format") if isinstance(record, dict) else None
        raise ConfigError(
            f"{where}: its format is {shortly(str(found))}, this version of sgdflow reads "
            f"{READ[0]} to {FORMAT}. Use the version that wrote it (result.json names it)."
        )
    return record


@dataclass(frozen=True, slots=True)
class Member:
    """A node."""

    predecessors: tuple[str, ...]
    parameters: Mapping[str, str]
    """Local name -> name in the graph."""
    code: bool
    """Whether it is computed by a Python callable."""


@dataclass(frozen=True, slots=True)
class Declared:
    """A parameter as declared."""

    text: str
    frozen: bool


@dataclass(frozen=True, slots=True)
class Shape:
    """A graph."""

    name: str
    inputs: tuple[str, ...]
    nodes: Mapping[str, Member]
    parameters: Mapping[str, Declared]
    output: str

    @property
    def predecessors(self) -> Mapping[str, tuple[str, ...]]:
        """Return those of every variable; inputs have none."""
        return {i: () for i in self.inputs} | {n: m.predecessors for n, m in self.nodes.items()}


def shape_of(declaration: Mapping[str, Any]) -> Shape:
    """Return the shape of a valid declaration, one without a `_target_` of its own."""
    parameters = {
        name: _declared(value) for name, value in (declaration.get("parameters") or {}).items()
    }
    nodes: dict[str, Member] = {}
    for name, node in declaration["nodes"].items():
        own: dict[str, str] = {}
        for local, value in (node.get("parameters") or {}).items():
            shared = value.get("shared") if isinstance(value, Mapping) else None
            own[local] = shared or f"{name}.{local}"
            if shared is None:
                parameters[own[local]] = _declared(value)
        forward = node.get("forward")
        code = isinstance(forward, Mapping) and bool(
            {"_target_", "field", "retrieve"} & forward.keys()
        )
        nodes[name] = Member(tuple(node["predecessors"]), own, code)
    return Shape(
        declaration["name"], tuple(declaration["inputs"]), nodes, parameters, declaration["output"]
    )


def _declared(value: Any) -> Declared:
    if isinstance(value, Mapping):
        return Declared(as_text(value.get("value")), bool(value.get("frozen")))
    return Declared(as_text(value), False)
