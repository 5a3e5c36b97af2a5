"""The Python API: declare or load a graph, run it, score it, optimise it (docs/python.md)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from sgdflow.api.flow import Flow
from sgdflow.api.optimised import Optimised
from sgdflow.api.origin import declared, found, load_parameters
from sgdflow.api.wrapped import wrap
from sgdflow.config.project import folder_of, inside
from sgdflow.deploy.predict import Prediction
from sgdflow.descent import Result
from sgdflow.errors import ConfigError, NodeFailed, SgdflowError
from sgdflow.executor.forward import ForwardPass
from sgdflow.executor.graph import Parameters
from sgdflow.executor.outcomes import Evaluation
from sgdflow.homes import at_home
from sgdflow.records import as_yaml

__all__: Sequence[str] = (
    "ConfigError",
    "Evaluation",
    "Flow",
    "ForwardPass",
    "NodeFailed",
    "Optimised",
    "Prediction",
    "Result",
    "SgdflowError",
    "load",
    "load_parameters",
    "save_parameters",
    "wrap",
)


def load(*words: str | Path, working: str | Path | None = None, trust: bool = False) -> Flow:
    """Return the graph that overrides declare, or that a directory or an MLflow run holds.

    load("graph=hints", "llm=openai"); load("outputs/first"); load("FOLDER", "llm=ollama").
    Raises ConfigError with all mistakes; nothing is computed or spent. `working` is the folder of
    the project, whose conf, prompts, experiments and modules come first and where relative paths
    start: else SGDFLOW_PROJECT or the working directory. A folder that is not
    known to be made here by this user runs no code of its own, and sends nothing anywhere but to
    a provider's own address, unless `trust`.
    """
    here = folder_of(working, os.environ)
    with inside(here):
        if not words or _is_override(words[0]):
            return Flow.of(declared([str(word) for word in words], here))
        return Flow.of(found(str(words[0]), [str(word) for word in words[1:]], here, trust))


def save_parameters(parameters: Parameters, path: str | Path) -> None:
    """Write parameters.yaml."""
    at_home(path, "path").write_text(as_yaml(parameters), encoding="utf-8")


def _is_override(word: str | Path) -> bool:
    return isinstance(word, str) and "=" in word and not Path(word).is_dir()
