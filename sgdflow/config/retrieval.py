"""From what is declared of a search to the documents that are searched."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sgdflow.config import schema
from sgdflow.config.paths import shipped_document
from sgdflow.data.documents import Documents, passages
from sgdflow.data.ranking import available
from sgdflow.errors import ConfigError
from sgdflow.executor.numbers import Numbers
from sgdflow.executor.retrieval import COUNT, RetrieveForward

_NONE = Numbers(listed=(0.5,))
"""What no number of passages is."""


def retrieving(
    conf: schema.RetrieveConf, node: schema.NodeConf, graph: schema.GraphConf, where: str
) -> RetrieveForward:
    """Return a node's search; raises ConfigError where there is nothing to search, or with."""
    most, where = _most(conf, node, graph, where), f"{where}.forward.retrieve"
    if not available():
        raise ConfigError(
            f"{where}: searching takes bm25s, which is not installed: "
            "pip install 'sgdflow[retrieval]'."
        )
    found = passages(located(conf.retrieve), where)
    return RetrieveForward(Documents(found), conf.retrieve, most)


def _most(
    conf: schema.RetrieveConf, node: schema.NodeConf, graph: schema.GraphConf, where: str
) -> int:
    """Return how many passages may be found, where a parameter says it the most that it can be."""
    declared = node.parameters.get(COUNT)
    if isinstance(declared, schema.ParameterConf) and declared.shared is not None:
        declared = graph.parameters.get(declared.shared, 1)
    if declared is None:
        return conf.count
    if "count" in conf.model_fields_set:
        raise ConfigError(
            f"{where}.forward.count: the parameter '{COUNT}' says it already. Leave one of them "
            "out."
        )
    value, numbers = declared, None
    if isinstance(declared, schema.ParameterConf):
        value, numbers = declared.value, declared.numbers
    if numbers is None:
        numbers = Numbers(listed=(value,)) if isinstance(value, int) and value > 0 else _NONE
    if not numbers.whole or min(numbers.listed or (numbers.low,)) < 1:
        raise ConfigError(
            f"{where}.parameters.{COUNT}: how many passages are found is a whole number from 1 on: "
            f"{COUNT}: {{value: 3, min: 1, max: 10, step: 1}}."
        )
    return int(numbers.largest)


def located(declared: str) -> Path:
    """Return where documents are: in the project, or, after `sgdflow/`, shipped ones."""
    return shipped_document(declared) or Path(declared)


def searched(conf: schema.GraphConf) -> Mapping[str, Path]:
    """Return where the documents are that each node searches."""
    return {
        name: located(node.forward.retrieve)
        for name, node in conf.nodes.items()
        if isinstance(node.forward, schema.RetrieveConf)
    }


def moved(graph: Any, place: Callable[[str, str], str]) -> Any:
    """Return the declaration of a graph with the documents of each node elsewhere.

    `place` is given a node and what it declares.
    """
    if not isinstance(graph, Mapping) or not isinstance(graph.get("nodes"), Mapping):
        return graph
    nodes = dict(graph["nodes"])
    for name, node in nodes.items():
        forward = node.get("forward") if isinstance(node, Mapping) else None
        if isinstance(forward, Mapping) and isinstance(said := forward.get("retrieve"), str):
            nodes[name] = {**node, "forward": {**forward, "retrieve": place(name, said)}}
    return {**graph, "nodes": nodes}
