"""From what is declared of a search to the documents that are searched."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sgdflow.config import schema
from sgdflow.config.paths import shipped_document
from sgdflow.data.documents import Documents, passages
from sgdflow.data.embedding import EMBEDS, Embeddings, embeds
from sgdflow.data.files import folder_of
from sgdflow.data.ranking import SEARCHES, available
from sgdflow.errors import ConfigError
from sgdflow.executor.graph import Graph
from sgdflow.executor.numbers import Numbers
from sgdflow.executor.retrieval import COUNT, RetrieveForward
from sgdflow.homes import at_home

_NONE = Numbers(listed=(0.5,))
"""What no number of passages is."""


def retrieving(
    conf: schema.RetrieveConf, node: schema.NodeConf, graph: schema.GraphConf, where: str
) -> RetrieveForward:
    """Return a node's search; raises ConfigError where there is nothing to search, or with."""
    most, said = _most(conf, node, graph, where), f"{where}.forward"
    where = f"{said}.retrieve"
    if conf.embeddings is None and not available():
        raise ConfigError(
            f"{where}: searching takes {SEARCHES}, which is not installed: "
            "pip install 'sgdflow[retrieval]'."
        )
    if conf.embeddings is not None and not embeds():
        raise ConfigError(
            f"{said}.embeddings: searching by embeddings takes {EMBEDS}, which is not installed: "
            "pip install 'sgdflow[embeddings]'."
        )
    embeddings = None if conf.embeddings is None else Embeddings(conf.embeddings)
    found = Documents(passages(located(conf.retrieve, where), where), embeddings)
    return RetrieveForward(found, conf.retrieve, most)


def unread(graph: Graph) -> Iterator[str]:
    """Yield which nodes have no embedding model to search with.

    A graph can be drawn without: only what is run has to have them.
    """
    for name, node in graph.nodes.items():
        if isinstance(node.forward, RetrieveForward):
            try:
                node.forward.search.check(f"graph.nodes.{name}.forward.embeddings")
            except ConfigError as error:
                yield str(error)


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


def located(declared: str, where: str) -> Path:
    """Return where documents are: in the project, or, after `sgdflow/`, shipped ones."""
    return shipped_document(declared) or at_home(declared, where)


def searched(conf: schema.GraphConf) -> Mapping[tuple[str, str], Path]:
    """Return where documents and embedding models are, by node and key.

    A model that is named as on the hub is where everybody finds it.
    """
    found = {}
    for name, node in conf.nodes.items():
        if isinstance(node.forward, schema.RetrieveConf):
            where = f"graph.nodes.{name}.forward.retrieve"
            found[name, "retrieve"] = located(node.forward.retrieve, where)
            model = node.forward.embeddings
            if model is not None and (folder := folder_of(model)) is not None:
                found[name, "embeddings"] = folder
    return found


def pinned(graph: Graph) -> Mapping[tuple[str, str], str]:
    """Return the models of the hub with the revisions that are here, by node and key."""
    forwards = {name: node.forward for name, node in graph.nodes.items()}
    models = {
        name: one.search.embeddings
        for name, one in forwards.items()
        if isinstance(one, RetrieveForward) and isinstance(one.search, Documents)
    }
    found = {(name, "embeddings"): one.pinned for name, one in models.items() if one is not None}
    return {place: model for place, model in found.items() if model is not None}


def packages(conf: schema.GraphConf) -> Sequence[str]:
    """Return the packages that the searches of a graph take."""
    forwards = [node.forward for node in conf.nodes.values()]
    taken = {
        SEARCHES if one.embeddings is None else EMBEDS
        for one in forwards
        if isinstance(one, schema.RetrieveConf)
    }
    return sorted(taken)


def moved(graph: Any, place: Callable[[str, str, str], str]) -> Any:
    """Return the declaration of a graph with what its nodes search, and with what, elsewhere.

    `place` is given a node, a key and what stands there.
    """
    if not isinstance(graph, Mapping) or not isinstance(graph.get("nodes"), Mapping):
        return graph
    nodes = dict(graph["nodes"])
    for name, node in nodes.items():
        forward = node.get("forward") if isinstance(node, Mapping) else None
        if isinstance(forward, Mapping) and "retrieve" in forward:
            said = {key: forward.get(key) for key in ("retrieve", "embeddings")}
            there = {
                key: place(name, key, one) for key, one in said.items() if isinstance(one, str)
            }
            nodes[name] = {**node, "forward": {**forward, **there}}
    return {**graph, "nodes": nodes}
