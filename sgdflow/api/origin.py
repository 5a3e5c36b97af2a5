"""Where a graph of the Python face comes from: words, a directory, an MLflow run, or Python."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sgdflow.config.paths import prompt_folders
from sgdflow.config.prepare import read_parameters
from sgdflow.config.program import build_program
from sgdflow.config.project import look_here
from sgdflow.config.retrieval import moved
from sgdflow.config.written import Composed, written_of
from sgdflow.executor.graph import Graph, Parameters
from sgdflow.prompting.templates import Prompts
from sgdflow.records import as_yaml
from sgdflow.records.code import make_importable
from sgdflow.records.source import DOCUMENTS, Source, read_source
from sgdflow.records.trust import Doubt, Made, doubted
from sgdflow.tracking.registry import registered

if TYPE_CHECKING:
    from sgdflow.config.given import Given

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Origin:
    """What was declared, and where."""

    config: Mapping[str, Any]
    """Resolved."""
    prompts: Prompts
    working: Path
    """Where relative paths start."""
    name: str
    """Where it was taken from, for messages."""
    start: Parameters
    """The texts that it brings."""
    doubt: Doubt | None = None
    """What is still to be checked of a folder that a stranger may have made."""
    made: Made = field(default_factory=lambda: Made.by_user(os.environ))
    """Where what is the user's own is noted."""


def declared(overrides: Sequence[str], here: Path) -> Origin:
    """Return what the words declare."""
    from sgdflow.config.compose import compose

    look_here(here)
    return _started(compose(overrides), here, " ".join(overrides) or "the default")


def given(what: Given, overrides: Sequence[str], here: Path) -> Origin:
    """Return what is declared in Python."""
    look_here(here)
    config = what.composed(overrides)
    return _started(config, here, f"the graph '{config['graph'].get('name', 'given')}'")


def found(name: str, overrides: Sequence[str], here: Path, trust: bool) -> Origin:
    """Return what a directory or a run in MLflow holds, with the best texts in it."""
    from sgdflow.config.compose import changed
    from sgdflow.runs.recorded import check_whole, directory_of

    with directory_of(name, overrides) as (path, others):
        source = read_source(path, here)
        made = Made.by_user(os.environ)
        doubt = None if trust else doubted(name, source, here, others, made)
        if doubt is not None:
            doubt.check("graph", "llm")
    if doubt is None:
        look_here(here)
        if source.code is not None:
            make_importable(source.code)
    prompts = Prompts(source.prompts)
    if not source.whole:
        log.warning(
            "%s has no result: the run is under way, was stopped or failed. Its best parameters "
            "so far are taken.",
            name,
        )
    config = changed(_placed(source), others)
    check_whole(config, name)
    graph = build_program(config, prompts).graph
    parameters = read_parameters(source.parameters, graph, str(path / "parameters.yaml"))
    return Origin(config, prompts, here, name, parameters, doubt, made)


def _placed(source: Source) -> Mapping[str, Any]:
    """Return the configuration; an exported folder's documents are found from everywhere."""

    def place(node: str, key: str, said: str) -> str:
        brought = source.exported and Path(said).parts[:1] == (DOCUMENTS,)
        return str((source.path / said).resolve()) if brought else said

    return {**source.config, "graph": moved(source.config.get("graph"), place)}


def recorded_as(origin: Origin, start: Parameters, graph: Graph) -> Mapping[str, Any]:
    """Return the configuration of a run from these texts, which says so where no file does."""
    named = origin.config.get("parameters") is not None
    if start == (origin.start if named else graph.initial()):
        return origin.config
    digest = sha256(as_yaml(start).encode()).hexdigest()
    said = {"parameters": f"given in Python, sha256 {digest}"}
    written = {**written_of(origin.config), **said}
    return Composed({**origin.config, "parameters": None}, written)


def load_parameters(path: str | Path, graph: Graph) -> Parameters:
    """Return the parameters in a file, or a run directory; raises ConfigError."""
    from sgdflow.config.prepare import starting_parameters

    return starting_parameters(graph, str(path))


def _started(composed: Composed, here: Path, name: str) -> Origin:
    config = registered(composed)
    prompts = Prompts(prompt_folders(here))
    graph = build_program(config, prompts).graph
    start = graph.initial()
    if path := config.get("parameters"):
        start = load_parameters(path, graph)
    return Origin(config, prompts, here, name, start)
