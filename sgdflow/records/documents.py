"""What the documents held that a run searches: another run is one over other documents."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sgdflow.errors import ConfigError
from sgdflow.executor.graph import Graph
from sgdflow.executor.retrieval import RetrieveForward
from sgdflow.records.folder import read_json

DOCUMENTS = "documents.json"


def check(folder: Path, graph: Graph) -> None:
    """Raise ConfigError where the run in a directory searched other documents."""
    there = read_json(folder / DOCUMENTS) or {}
    for name, forward in _searches(graph).items():
        key = f"graph.nodes.{name}.forward"
        if _other(there, "embeddings", name, forward.search.model):
            raise ConfigError(
                f"{folder} holds a run that searched with another embedding model than "
                f"{key}.embeddings is now. To go on with the run that is there, put the model "
                "back as it was. For a run with the one that is there now, choose another "
                "directory (hydra.run.dir)."
            )
        if _other(there, "sha256", name, forward.search.digest):
            raise ConfigError(
                f"{folder} holds a run that searched other documents: {forward.documents} "
                f"({key}.retrieve) holds something else now. To go on with "
                "the run that is there, put the documents back as they were. For a run over those "
                "that are there now, choose another directory (hydra.run.dir)."
            )


def keep(folder: Path, graph: Graph) -> None:
    """Note what the documents hold; nothing where none are searched."""
    if searches := _searches(graph):
        held: dict[str, object] = {
            "format": 1,
            "sha256": {name: one.search.digest for name, one in searches.items()},
        }
        models = {name: one.search.model for name, one in searches.items() if one.search.model}
        if models:
            held["embeddings"] = models
        text = json.dumps(held, indent=2)
        (folder / DOCUMENTS).write_text(f"{text}\n", encoding="utf-8")


def _other(there: Mapping[str, Any], part: str, name: str, digest: str | None) -> bool:
    held = there.get(part)
    return isinstance(held, dict) and held.get(name, digest) != digest


def _searches(graph: Graph) -> Mapping[str, RetrieveForward]:
    forwards = {name: node.forward for name, node in graph.nodes.items()}
    return {name: one for name, one in forwards.items() if isinstance(one, RetrieveForward)}
