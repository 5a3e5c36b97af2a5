"""Branches: a node is skipped where its condition does not hold, and has no value then."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from sgdflow.errors import NodeFailed, did_you_mean, listed, shortly
from sgdflow.executor.functions import Function


@dataclass(frozen=True, slots=True)
class Skipped:
    """Stands where a value would, of a node that was skipped."""

    def __bool__(self) -> bool:
        return False

    def __str__(self) -> str:
        return "(skipped)"


SKIPPED = Skipped()


def present(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values there are."""
    return {name: value for name, value in values.items() if value is not SKIPPED}


class Condition(Protocol):
    """Says whether a node is computed."""

    @property
    def described(self) -> str:
        """Return in words when it is."""

    async def holds(self, predecessors: Mapping[str, Any]) -> bool:
        """Return whether it is, for these values; raises NodeFailed."""

    def problems(self, predecessors: Sequence[str]) -> Iterator[str]:
        """Yield what would go wrong with predecessors of these names."""


@dataclass(frozen=True, slots=True)
class Equals:
    """Holds where predecessors have one of some values, and others have none of some.

    Texts are the same where they differ in case, white space or a final period alone. What was
    skipped is neither the one nor the other.
    """

    one_of: Mapping[str, Sequence[Any]]
    none_of: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    @property
    def described(self) -> str:
        """Return the values, in words."""
        said = [f"{name} is {_either(values)}" for name, values in self.one_of.items()]
        said += [f"{name} is not {_either(values)}" for name, values in self.none_of.items()]
        return " and ".join(said)

    async def holds(self, predecessors: Mapping[str, Any]) -> bool:
        """Return whether all of it is so."""
        named = [*self.one_of, *self.none_of]
        return (
            all(predecessors[name] is not SKIPPED for name in named)
            and all(_among(predecessors[name], values) for name, values in self.one_of.items())
            and not any(_among(predecessors[name], values) for name, values in self.none_of.items())
        )

    def problems(self, predecessors: Sequence[str]) -> Iterator[str]:
        """Yield the names that are no predecessors."""
        for name in {**self.one_of, **self.none_of}:
            if name not in predecessors:
                yield (
                    f"'{name}' is no predecessor of the node.{did_you_mean(name, predecessors)} "
                    f"Predecessors: {listed(predecessors)}."
                )


@dataclass(frozen=True, slots=True)
class Asks:
    """Holds where a function of the predecessors' values says so."""

    function: Function

    @property
    def described(self) -> str:
        """Return the function."""
        return f"python {self.function.name} says so"

    async def holds(self, predecessors: Mapping[str, Any]) -> bool:
        """Return what the function says; None stands for what was skipped."""
        said = await self.function(*plain(predecessors.values()))
        if not isinstance(said, bool):
            found = shortly(repr(said))
            raise NodeFailed(f"{self.function.name} returned {found}, not true or false")
        return said

    def problems(self, predecessors: Sequence[str]) -> Iterator[str]:
        """Yield why the function cannot be called."""
        yield from self.function.problems(*predecessors)


def plain(values: Any) -> Iterator[Any]:
    """Yield values as code is given them: None for what was skipped."""
    return (None if value is SKIPPED else value for value in values)


def alike(value: Any) -> str:
    """Return what is the same for texts that say the same."""
    return " ".join(str(value).casefold().split()).rstrip(".")


def _among(value: Any, values: Sequence[Any]) -> bool:
    return any(alike(value) == alike(one) or _number(value) == _number(one) for one in values)


def _number(value: Any) -> object:
    """Return a number, of anything else the thing itself, which is no other's."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number else object()


def _either(values: Sequence[Any]) -> str:
    return " or ".join(str(one).lower() if isinstance(one, bool) else str(one) for one in values)
