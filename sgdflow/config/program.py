"""What answers need: a graph, its parameters and the models of its roles; no task, no method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sgdflow.config import schema
from sgdflow.config.build import build_graph, expand_graph
from sgdflow.config.models import build_calling, build_models
from sgdflow.config.problems import Problems
from sgdflow.config.retrieval import unread
from sgdflow.config.sight import blind
from sgdflow.config.written import lacking, written_of
from sgdflow.errors import did_you_mean, listed
from sgdflow.executor.forward import forward_roles
from sgdflow.executor.graph import Graph
from sgdflow.llm.calling import Calling
from sgdflow.llm.credentials import check_keys
from sgdflow.llm.models import ModelSpec
from sgdflow.prompting.templates import Prompts


@dataclass(frozen=True, slots=True)
class Program:
    """A graph that can be run."""

    conf: schema.GraphConf
    graph: Graph
    llm: schema.LLMConf
    calling: Calling
    """The models of the roles that its forward functions name."""
    written: Mapping[str, Any] = field(default_factory=dict)
    """The configuration as it is written down, without secrets."""


def build_program(
    raw: Mapping[str, Any], prompts: Prompts, environ: Mapping[str, str] | None = None
) -> Program:
    """Return what `graph`, `llm` and `seed` declare; raises ConfigError with all mistakes.

    With `environ` the keys of the models are looked for, too.
    """
    problems = Problems()
    conf = llm = graph = None
    models: Mapping[str, ModelSpec] | None = None
    with problems.collected():
        conf = expand_graph(raw.get("graph"))
    with problems.collected():
        llm = schema.validate(schema.LLMConf, raw.get("llm"), "llm")
    if conf is not None:
        with problems.collected():
            graph = build_graph(conf, prompts)
            problems.extend(unread(graph))
    if llm is not None:
        with problems.collected():
            models = build_models(llm)
    if graph is not None and models is not None:
        roles = forward_roles(graph)
        problems.extend(
            f"graph.nodes.{node}.forward.role: llm.models has no '{role}'."
            f"{did_you_mean(role, models)} It has: {listed(models)}."
            for node, role in roles.items()
            if role not in models
        )
        models = {role: models[role] for role in models if role in roles.values()}
        problems.extend(iter(lacking(raw) if environ is not None else ()))
        if environ is not None and llm is not None and llm.store.mode != "replay":
            problems.extend(iter(check_keys(models, environ)))
    seed = raw.get("seed") or 0
    if not isinstance(seed, int):
        problems.extend(iter([f"seed: '{seed}' is no whole number."]))
    problems.check()
    assert conf is not None
    assert graph is not None
    assert llm is not None
    assert models is not None
    calling = build_calling(models, llm, seed)
    problems.extend(blind(graph, calling))
    problems.check()
    return Program(conf, graph, llm, calling, written_of(raw))
