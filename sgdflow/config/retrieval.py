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
from sgdflow.executor.retrieval import RetrieveForward


def retrieving(conf: schema.RetrieveConf, where: str) -> RetrieveForward:
    """Return the search; raises ConfigError where there is nothing to search, or to search with."""
    if not available():
        raise ConfigError(
            f"{where}: searching takes bm25s, which is not installed: "
            "pip install 'sgdflow[retrieval]'."
        )
    found = passages(located(conf.retrieve), where)
    return RetrieveForward(Documents(found), conf.retrieve, conf.count)


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
