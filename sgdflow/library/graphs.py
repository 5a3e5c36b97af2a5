"""Generated graphs: layers of equal nodes, so that topology can be swept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sgdflow.errors import plural

_MOST = 2_000
"""Nodes, each of which names up to all before it."""


def layered(
    *,
    name: str,
    inputs: Sequence[str],
    depth: int,
    width: int,
    skip: bool,
    hidden: str,
    final: str,
) -> Mapping[str, Any]:
    """Return the declaration of a layered graph.

    `depth` counts the layers, the final node's included: 1 is that node alone, and depth 2
    with width 2 is two nodes before it. Every node is given the inputs and the layer before
    it; with `skip`, all earlier layers. (The graphs of arXiv 2412.03624, section 4.)
    """
    if not isinstance(depth, int) or not isinstance(width, int):
        raise ValueError(f"depth and width are whole numbers, not {depth!r} and {width!r}")
    if depth < 1 or width < 1:
        raise ValueError(f"depth and width are at least 1, not {depth} and {width}")
    if (depth - 1) * width > _MOST:
        made = plural((depth - 1) * width, "node")
        raise ValueError(f"{made} are too many; at most {_MOST:,} are made")
    nodes: dict[str, Any] = {}
    before: list[str] = []
    for layer in range(1, depth):
        names = [f"step_{layer}_{i}" for i in range(1, width + 1)]
        for node in names:
            nodes[node] = _node([*inputs, *before], hidden)
        before = [*before, *names] if skip else names
    nodes["answer"] = _node([*inputs, *before], final)
    return {"name": name, "inputs": list(inputs), "nodes": nodes, "output": "answer"}


def _node(predecessors: Sequence[str], instruction: str) -> Mapping[str, Any]:
    return {"predecessors": list(predecessors), "parameters": {"instruction": instruction}}
