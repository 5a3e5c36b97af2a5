"""Made-up values, to try templates with before anything is computed."""

from __future__ import annotations

from collections.abc import Iterator

from sgdflow.executor.graph import Node, Operands, View


class Anything(str):
    """Stands for a value of any kind: a text, with every key and attribute there is."""

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
        dict.fromkeys(node.predecessors, ANYTHING), dict.fromkeys(node.parameters, "...")
    )
    successor = View("successor", (node.name,), (), {"instruction": "..."})
    told = dict.fromkeys(node.predecessors, "...")
    given = dict.fromkeys(node.predecessors, ("...",))
    own = operands.parameters
    behind = {"...": ANYTHING}
    place = View(node.name, node.predecessors, (successor,), own, told, given, behind=behind)
    return place, operands
