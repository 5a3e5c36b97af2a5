"""What a run says of its graph before it begins."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from sgdflow.config.task import Notice
from sgdflow.errors import listed, plural
from sgdflow.executor.forward import TEMPERATURE, PromptForward
from sgdflow.executor.graph import Graph
from sgdflow.executor.trace import TracedForward
from sgdflow.executor.voting import Vote
from sgdflow.llm.models import ModelSpec


def graph_notices(graph: Graph, models: Mapping[str, ModelSpec]) -> Iterator[Notice]:
    """Yield what somebody may want to know of a graph."""
    yield from _unshown(graph)
    yield from _marked(graph)
    yield from _alike(graph, models)
    yield from _unpaid(graph)


def _unshown(graph: Graph) -> Iterator[Notice]:
    """Yield what nodes are given and their prompts never speak of, once for each prompt."""
    found: dict[tuple[str, str], list[str]] = {}
    for node in graph.nodes.values():
        if isinstance(node.forward, PromptForward) and (names := node.forward.unshown(node)):
            found.setdefault((node.forward.ask.prompt, listed(names)), []).append(node.name)
    for (prompt, names), given in found.items():
        yield Notice(
            f"prompts/{prompt} never shows {names}, of graph.nodes: {listed(given)}.", unsure=True
        )


def _marked(graph: Graph) -> Iterator[Notice]:
    """Yield which texts hold a variable as templates write it, which nobody fills in there."""
    for name, parameter in graph.parameters.items():
        marks = re.findall(r"\{\{\s*(\w+)\s*\}\}", str(parameter.initial))
        known = [mark for mark in marks if mark in graph.inputs or mark in graph.nodes]
        if known:
            yield Notice(
                f"parameter {name}: '{{{{ {known[0]} }}}}' stays as it is in a text: models read "
                "these letters, not the value. Take it out: what a node is given stands in its "
                "prompt already, or where a template of your own puts it (forward.prompt).",
                unsure=True,
            )


def _alike(graph: Graph, models: Mapping[str, ModelSpec]) -> Iterator[Notice]:
    """Yield which nodes vote among replies that will hardly differ."""
    for node in graph.nodes.values():
        if TEMPERATURE in node.parameters or not isinstance(node.forward, Vote):
            continue
        if models[node.forward.ask.role].deterministic:
            role, replies = node.forward.ask.role, plural(node.forward.samples, "reply")
            yield Notice(
                f"graph.nodes.{node.name}.forward.samples: {replies} at "
                f"temperature 0 hardly differ (llm.models.{role}.parameters.temperature).",
                unsure=True,
            )


def _unpaid(graph: Graph) -> Iterator[Notice]:
    """Yield whose own calls of models are not paid by this run."""
    names = [node.name for node in graph.nodes.values() if isinstance(node.forward, TracedForward)]
    if names:
        yield Notice(
            f"The calls that the program itself makes (graph.nodes: {listed(names)}) are neither "
            "stored nor counted here, and no budget bounds them."
        )
