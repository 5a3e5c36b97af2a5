"""Made-up values, to try templates with before anything is computed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from sgdflow.executor.graph import Node, Operands
from sgdflow.executor.places import Success, View


class TextOrNumber(str):
    """Stands for a parameter: a text, with which can be counted as with a number."""

    __slots__ = ()

    def __lt__(self, other: object) -> bool:
        return True

    __le__ = __gt__ = __ge__ = __lt__

    def __sub__(self, other: object) -> TextOrNumber:
        return self

    __rsub__ = __truediv__ = __rtruediv__ = __floordiv__ = __rfloordiv__ = __sub__

    def __add__(self, other: object) -> str:
        return str.__add__(self, other) if isinstance(other, str) else self

    def __radd__(self, other: object) -> str:
        return self

    def __mul__(self, other: object) -> str:
        return self

    def __rmul__(self, other: object) -> str:
        return self


class Anything(TextOrNumber):
    """Stands for a value of any kind: that, and every key and attribute there is."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Anything:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __getitem__(self, key: object) -> Anything:
        return self

    def __iter__(self) -> Iterator[str]:
        return iter(())


ANYTHING = Anything("...")


def sample_operands(node: Node) -> tuple[View, Operands]:
    """Return a made-up place and made-up operands of a node."""
    operands = Operands(
        dict.fromkeys(node.predecessors, ANYTHING),
        dict.fromkeys(node.parameters, TextOrNumber("...")),
    )
    successor = View("successor", (node.name,), (), {"instruction": "..."})
    told = dict.fromkeys(node.predecessors, "...")
    given = dict.fromkeys(node.predecessors, ("...",))
    own = operands.parameters
    behind, why = {"...": ANYTHING}, dict.fromkeys((*node.predecessors, node.name), "...")
    place = View(node.name, node.predecessors, (successor,), own, told, given)
    right = (Success(dict.fromkeys(node.predecessors, ANYTHING), ANYTHING),)
    place = replace(place, behind=behind, reasons=why, successes=right)
    return place, operands
