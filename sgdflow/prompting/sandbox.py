"""Where templates are rendered: they reach nothing outside, and loops and products have bounds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, MutableMapping, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from jinja2 import nodes
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

_ROUNDS = 1_000_000
"""Of all loops of one rendering together."""
_LETTERS = 10_000_000
"""Of a text, or members of a list, that a product makes."""
_BITS = 20_000
"""Of a number that a product or a power makes."""
_PLAIN = frozenset({str, int, float, bool, tuple, list, dict})
"""Types of values that have nothing to be called."""
_SIZED = frozenset({list, tuple, dict, type({}.keys()), type({}.values()), type({}.items())})
"""Types whose length is how often a loop over them goes round."""
_NAMES = 10_000
"""Attributes that are remembered as safe or not; templates may compute names without end."""
_rounds: ContextVar[list[int] | None] = ContextVar("rounds", default=None)


class Sandbox(ImmutableSandboxedEnvironment):
    """An environment for templates that may come from anybody."""

    intercepted_binops = frozenset({"*", "**"})

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.filters["counted"] = _Counted
        self._safe: dict[tuple[type, str], bool] = {}

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Return an attribute; of a type that was seen to be safe, and a plain value, at once."""
        if self._safe.get((type(obj), attribute)):
            value = getattr(obj, attribute, None)
            if type(value) in _PLAIN:
                return value
        return super().getattr(obj, attribute)

    def make_globals(self, d: MutableMapping[str, Any] | None) -> MutableMapping[str, Any]:
        """Return what a template knows of itself, as one mapping: each rendering copies it."""
        return {**self.globals, **(d or {})}

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Return whether templates may see an attribute, which its name and the type decide."""
        known = (type(obj), attr)
        if (safe := self._safe.get(known)) is None:
            safe = super().is_safe_attribute(obj, attr, value)
            if len(self._safe) < _NAMES:
                self._safe[known] = safe
        return safe

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Return what an operator makes of two values."""
        if _is_too_large(operator, left, right):
            raise SecurityError(f"what {operator} makes is too large")
        return super().call_binop(context, operator, left, right)

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        for loop in tree.find_all(nodes.For):
            loop.iter = nodes.Filter(
                loop.iter, "counted", [], [], None, None, lineno=loop.iter.lineno
            ).set_environment(self)
        return tree


@contextmanager
def one_rendering() -> Iterator[None]:
    """Count the rounds of loops for as long as the block lasts."""
    before = _rounds.set([0])
    try:
        yield
    finally:
        _rounds.reset(before)


class _Counted:
    """What a loop goes through, once."""

    def __init__(self, inner: Iterable[Any]) -> None:
        self._inner = inner

    def __len__(self) -> int:
        if isinstance(self._inner, Sized):
            return len(self._inner)
        raise TypeError

    def __iter__(self) -> Iterator[Any]:
        rounds = _rounds.get() or [0]
        if type(self._inner) not in _SIZED:
            return self._one_by_one(rounds)
        assert isinstance(self._inner, Sized)
        _count(rounds, len(self._inner))
        return iter(self._inner)

    def _one_by_one(self, rounds: list[int]) -> Iterator[Any]:
        for one in self._inner:
            _count(rounds, 1)
            yield one


def _count(rounds: list[int], more: int) -> None:
    rounds[0] += more
    if rounds[0] > _ROUNDS:
        raise SecurityError(f"its loops go round more than {_ROUNDS:,} times")


def _is_too_large(operator: str, left: Any, right: Any) -> bool:
    if isinstance(left, int) and isinstance(right, int):
        bits = left.bit_length()
        return (bits * max(right, 0) if operator == "**" else bits + right.bit_length()) > _BITS
    for many, times in ((left, right), (right, left)):
        if (
            operator == "*"
            and isinstance(many, str | bytes | list | tuple)
            and isinstance(times, int)
        ):
            return len(many) * times > _LETTERS
    return False
