"""Demonstrations: a parameter that shows a node some of its own work that turned out right."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sgdflow.prompting.values import as_text

NONE = "[]"
"""A parameter without demonstrations."""


@dataclass(frozen=True, slots=True)
class Demonstration:
    """What a node was given, and what it should make of it, as prompts show them."""

    given: Mapping[str, str]
    output: str

    def __str__(self) -> str:
        said = [f"{name}: {value}" for name, value in self.given.items()]
        return "\n".join([*said, f"Output: {self.output}"])


@dataclass(frozen=True, slots=True)
class Demonstrations:
    """Some of them, in order; in a text they stand apart by an empty line."""

    shown: tuple[Demonstration, ...] = ()

    def __iter__(self) -> Iterator[Demonstration]:
        return iter(self.shown)

    def __len__(self) -> int:
        return len(self.shown)

    def __str__(self) -> str:
        numbered = (f"Example {n}\n{one}" for n, one in enumerate(self.shown, 1))
        return "\n\n".join(numbered)

    def beside(self, given: Mapping[str, Any]) -> Demonstrations:
        """Return those of other queries: nobody is shown the answer to what is asked."""
        same = _given(given)
        return Demonstrations(tuple(one for one in self.shown if one.given != same))


def demonstration(given: Mapping[str, Any], output: Any) -> Demonstration:
    """Return what was given and made, as texts."""
    return Demonstration(_given(given), str(as_text(output)))


def _given(given: Mapping[str, Any]) -> Mapping[str, str]:
    return {name: str(as_text(value)) for name, value in given.items()}


def written(demonstrations: Iterable[Demonstration]) -> str:
    """Return the value of a parameter: JSON, one demonstration a line."""
    lines = [
        json.dumps({"given": dict(one.given), "output": one.output}, ensure_ascii=False)
        for one in demonstrations
    ]
    return "[" + ",\n ".join(lines) + "]"


def read(text: Any) -> Demonstrations:
    """Return what the value of a parameter holds; raises ValueError where it is none."""
    such = '[{"given": {"question": "..."}, "output": "..."}, ...]'
    try:
        found = json.loads(text)
    except (TypeError, ValueError) as error:
        raise ValueError(f"holds no demonstrations, such as {such}") from error
    if not isinstance(found, list) or not all(map(_is_one, found)):
        raise ValueError(f"holds something else than demonstrations, such as {such}")
    return Demonstrations(tuple(Demonstration(one["given"], one["output"]) for one in found))


def _is_one(value: Any) -> bool:
    if not isinstance(value, dict) or value.keys() != {"given", "output"}:
        return False
    given = value["given"]
    texts = [*given.values(), value["output"]] if isinstance(given, dict) else [None]
    return all(isinstance(text, str) for text in texts)


def to_show(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters without demonstrations where there are none."""
    return {n: v for n, v in parameters.items() if not (isinstance(v, Demonstrations) and not v)}
