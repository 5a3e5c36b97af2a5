"""What a run says of its graph and prompts before it begins."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from sgdflow.config.legs import acting
from sgdflow.config.method_schema import MethodConf, OneMethod
from sgdflow.config.task import Notice
from sgdflow.errors import listed, plural
from sgdflow.executor.forward import TEMPERATURE, PromptForward
from sgdflow.executor.graph import Graph
from sgdflow.executor.trace import TracedForward
from sgdflow.executor.voting import Vote
from sgdflow.llm.models import ModelSpec
from sgdflow.prompting.templates import FULL, Prompts


def run_notices(
    graph: Graph, models: Mapping[str, ModelSpec], method: MethodConf, prompts: Prompts
) -> Iterator[Notice]:
    """Yield what somebody may want to know of a graph and of what is asked about it."""
    yield from _unshown(graph)
    yield from _marked(graph)
    yield from _alike(graph, models)
    yield from _unpaid(graph)
    yield from _in_full(method, prompts)
    yield from _unused(method)


def _in_full(conf: MethodConf, prompts: Prompts) -> Iterator[Notice]:
    """Yield what is asked in full words where a set of others was chosen that lacks it."""
    for where, method in acting(conf):
        said, has = _prompts(method), prompts.names() if method.words != FULL else ()
        left = [name for name in said if f"{method.words}/{name}" not in has]
        if not has or not left:
            continue
        own = [n.removeprefix(f"{method.words}/") for n in has if n.startswith(f"{method.words}/")]
        yield Notice(
            f"{where}.words={method.words}: prompts/{method.words} has {listed(sorted(own))}; "
            f"asked in full words, as it has no such template: {listed(left)}.",
            unsure=left == said,
        )


def _unused(conf: MethodConf) -> Iterator[Notice]:
    """Yield what was declared of a gate or pool that the rule chosen makes no use of."""
    for where, method in acting(conf):
        gate, pool = method.gate, method.pool
        found = (
            ("gate.level", gate, "gate.rule=paired", gate.rule == "paired"),
            ("pool.temperature", pool, "pool.choose=queue", pool.choose == "queue"),
            ("pool.choose", pool, "pool.keep=2 or more", pool.keep > 1),
        )
        for key, part, needed, used in found:
            name = key.partition(".")[2]
            value = getattr(part, name)
            if not used and value != type(part).model_fields[name].default:
                yield Notice(
                    f"{where}.{key}={value} has no effect; it takes {where}.{needed}.", unsure=True
                )


def _prompts(method: OneMethod) -> list[str]:
    """Return the templates that a method has models answer."""
    found = []
    for part in ("loss", "backward", "backward.verify", "update.critique", "update"):
        conf: Any = method
        for key in part.split("."):
            conf = getattr(conf, key, None)
        if isinstance(getattr(conf, "role", None), str):
            found.append(str(conf.prompt))
    return found


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
