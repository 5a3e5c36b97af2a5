"""What the documents held that a run searches: another run is one over other documents."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from sgdflow.errors import ConfigError
from sgdflow.executor.graph import Graph
from sgdflow.executor.retrieval import RetrieveForward
from sgdflow.records.folder import read_json

DOCUMENTS = "documents.json"


def check(folder: Path, graph: Graph) -> None:
    """Raise ConfigError where the run in a directory searched other documents."""
    there = (read_json(folder / DOCUMENTS) or {}).get("sha256")
    here = _held(graph)
    for name, digest in (there if isinstance(there, dict) else {}).items():
        forward = graph.nodes[name].forward if name in here else None
        if isinstance(forward, RetrieveForward) and here[name] != digest:
            raise ConfigError(
                f"{folder} holds a run that searched other documents: {forward.documents} "
                f"(graph.nodes.{name}.forward.retrieve) holds something else now. To go on with "
                "the run that is there, put the documents back as they were. For a run over those "
                "that are there now, choose another directory (hydra.run.dir)."
            )


def keep(folder: Path, graph: Graph) -> None:
    """Note what the documents hold; nothing where none are searched."""
    if held := _held(graph):
        text = json.dumps({"format": 1, "sha256": held}, indent=2)
        (folder / DOCUMENTS).write_text(f"{text}\n", encoding="utf-8")


def _held(graph: Graph) -> Mapping[str, str]:
    forwards = {name: node.forward for name, node in graph.nodes.items()}
    return {
        name: one.search.digest
        for name, one in forwards.items()
        if isinstance(one, RetrieveForward)
    }
