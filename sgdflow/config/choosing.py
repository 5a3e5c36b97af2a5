"""Builds what chooses demonstrations; refuses what leaves it nothing to choose."""

from __future__ import annotations

from collections.abc import Collection

from sgdflow.config import method_schema as schema
from sgdflow.config.fields import Target
from sgdflow.config.problems import Problems, ask
from sgdflow.executor.graph import Graph
from sgdflow.prompting.templates import Prompts
from sgdflow.update.choice import Choice

_WHERE = "method.update.demonstrations"


def choosing(
    conf: schema.OneMethod,
    graph: Graph,
    names: Collection[str],
    prompts: Prompts,
    problems: Problems,
) -> Choice | None:
    """Return what chooses for these parameters, where that is declared."""
    how = None if isinstance(conf.update, Target) else conf.update.demonstrations
    if how is None:
        return None
    choice = Choice(ask(how, prompts), how.pieces, how.memory)
    problems.extend(f"{_WHERE}: {told}" for told in choice.problems())
    counts = {name: graph.parameters[name].demonstrations for name in names}
    if not any(counts.values()):
        told = (
            f"{_WHERE}: graph '{graph.name}' has no demonstrations that may change. Declare some "
            "(graph.nodes.NODE.parameters.NAME.demonstrations; docs/nodes.md), or set it to null."
        )
        problems.extend(iter([told]))
    problems.extend(
        f"{_WHERE}.pieces: {how.pieces} are shown, and '{name}' holds {most}, so that there is "
        f"nothing to choose. Set it to more than {most}."
        for name, most in counts.items()
        if most >= how.pieces
    )
    return choice
