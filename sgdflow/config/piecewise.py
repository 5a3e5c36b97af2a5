"""A configuration part by part, where it cannot be taken as a whole: what is wrong with each."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sgdflow.config import schema
from sgdflow.config.build import build_graph, expand_graph
from sgdflow.config.compose import compose
from sgdflow.config.legs import build_method
from sgdflow.config.models import build_models
from sgdflow.config.problems import Problems
from sgdflow.config.task import build_task
from sgdflow.config.words import parsed
from sgdflow.errors import ConfigError
from sgdflow.prompting.templates import Prompts

ANY_GRAPH = {"name": "any", "inputs": ["any"], "nodes": {}, "output": "any"}
_STANDING_IN: Mapping[str, str] = {
    "graph": "single",
    "task": "tariff",
    "method": "semantic",
    "llm": "simulated",
}
"""Shipped choices of the groups that are looked at apart."""


def mistakes(
    raw: Mapping[str, Any], prompts: Prompts, unread: Collection[str] = ()
) -> Sequence[str]:
    """Return what is wrong with the parts of a configuration; those that are unread are left out.

    Other things stand in their place in `raw`.
    """
    problems = Problems()
    graph: schema.GraphConf | None = None
    if "graph" not in unread:
        with problems.collected():
            graph = expand_graph(raw.get("graph"))
    with problems.collected():
        whole = {**raw, "graph": ANY_GRAPH if graph is None else graph}
        schema.validate(schema.Config, whole)
    # What a part lacks is told by now.
    with suppress(ConfigError):
        llm = schema.validate(schema.LLMConf, raw.get("llm"), "llm")
        with problems.collected():
            build_models(llm)
    if graph is not None:
        _check_graph(graph, raw, prompts, problems)
    if "task" not in unread:
        with suppress(ConfigError):
            task = schema.validate(schema.Task, raw.get("task"), "task")
            seed = raw.get("seed")
            build_task(task, seed if isinstance(seed, int) else 0, graph, prompts, problems)
    return problems.lines


def _check_graph(
    graph: schema.GraphConf, raw: Mapping[str, Any], prompts: Prompts, problems: Problems
) -> None:
    with problems.collected():
        built = build_graph(graph, prompts)
        with suppress(ConfigError):
            method = schema.validate(schema.MethodConf, raw.get("method"), "method")
            with problems.collected():
                build_method(method, built, prompts)


@dataclass(frozen=True, slots=True)
class Readable:
    """What can be read of a configuration, and why the rest cannot."""

    raw: Mapping[str, Any]
    unread: frozenset[str]
    """Groups in whose place a shipped choice stands."""
    why: tuple[str, ...]


def readable_parts(words: Sequence[str]) -> Readable | None:
    """Return what can be read where some files of a group cannot; None where that is no group's."""
    try:
        found: dict[str, Any] = dict(compose([*_without(words, _STANDING_IN)]))
    except ConfigError:
        return None
    why: dict[str, str] = {}
    for group in _STANDING_IN:
        others = [one for one in _STANDING_IN if one != group]
        try:
            found[group] = compose([*_without(words, others)])[group]
        except ConfigError as error:
            why[group] = str(error)
    return Readable(found, frozenset(why), tuple(why.values()))


def _without(words: Sequence[str], groups: Collection[str]) -> Iterator[str]:
    """Yield the words with a shipped choice in the place of all that is said of some groups."""
    for word in words:
        said = parsed(word)
        if said is None or said.key_or_group.partition(".")[0] not in groups:
            yield word
    yield from (f"{group}=sgdflow/{_STANDING_IN[group]}" for group in groups)
