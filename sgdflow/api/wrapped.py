"""A program of somebody's own as a graph: one node, whose parameters are the program's prompts."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sgdflow.api.flow import Flow
from sgdflow.config.fields import name_of
from sgdflow.errors import ConfigError, did_you_mean, listed
from sgdflow.executor.graph_names import RESERVED

_TOGETHER = "prompts"
"""What a program calls all its prompts in one dictionary."""
AMONG = {
    "prompt": "backward/joint.jinja",
    "role": "backward",
    "reply": {"tag": "gradient"},
    "of_parameters": True,
}
"""How several prompts of a program are told apart where no call of it is heard: by a model."""


def wrap(
    program: Callable[..., Any],
    prompts: Mapping[str, Any],
    *words: str,
    inputs: Sequence[str] | None = None,
    trace: bool = False,
    at_once: int = 8,
    examples: Any = None,
    score: Any = None,
    target: str = "target",
    id: str | None = None,
    name: str = "examples",
    working: str | Path | None = None,
) -> Flow:
    """Return a graph of one node that runs a program, synchronous or not, with these prompts.

    wrap(agent, {"plan": "...", "answer": "..."}, examples=[...], score=function). The program
    takes its inputs by position (`inputs`: their names, else those of its signature) and each
    prompt by its name, or all of them as `prompts`. With `trace` the calls that it makes with the
    openai or litellm client, or that are seen as MLflow or OpenTelemetry spans, become nodes, so
    that gradients reach the prompts that are to blame.
    `at_once` runs are under way at the same time, a synchronous program in threads. All else is
    as for Flow.
    """
    _check(program, prompts, inputs)
    own = _own(program)
    together = _takes_together(own) and _TOGETHER not in prompts
    _check_prompts(program, own, () if together else prompts)
    given = inputs if inputs is not None else _inputs(own, (*prompts, _TOGETHER))
    if not given:
        told = f"wrap: {name_of(program)} takes no input besides its prompts."
        raise ConfigError(f"{told} Name what it takes by position with inputs=[...].")
    node = _named(program, (*given, *prompts))
    declared = {
        "predecessors": list(given),
        "parameters": dict(prompts),
        "forward": _handing_together(program) if together else program,
        "at_once": at_once,
        "trace": trace,
    }
    if len(prompts) > 1:
        declared["backward"] = {**AMONG}
    graph = {"name": node, "inputs": list(given), "nodes": {node: declared}, "output": node}
    data = {"examples": examples, "score": score, "target": target, "id": id, "name": name}
    return Flow(*words, graph=graph, working=working, **data)


def _named(program: Callable[..., Any], others: Sequence[str]) -> str:
    """Return the name of the node: the program's, where nothing else has it."""
    own = getattr(program, "__name__", "")
    free = own.isidentifier() and own not in others and own not in RESERVED
    return own if free else "program"


def _check(program: Any, prompts: Any, inputs: Any) -> None:
    if not callable(program):
        raise ConfigError(f"wrap: {program!r} cannot be called; give a function.")
    if not isinstance(prompts, Mapping) or not prompts:
        raise ConfigError(
            "wrap: prompts should be a dictionary of names and texts, such as "
            f"{{'plan': 'Plan it.'}} (got {prompts!r})."
        )
    if isinstance(inputs, str):
        raise ConfigError(f"wrap: inputs should be a list of names, such as [{inputs!r}].")
    for name in prompts:
        if not isinstance(name, str) or not name.isidentifier():
            plain = re.sub(r"\W", "_", str(name))
            raise ConfigError(
                f"wrap: {name!r} cannot name a prompt; a name is letters, digits and _, such as "
                f"'{plain if plain.isidentifier() else f'prompt_{plain}'}'. The program puts the "
                "text where it belongs."
            )


def _own(program: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(program).parameters
    except ValueError:
        raise ConfigError(
            f"wrap: what {name_of(program)} takes is not known; wrap a function that calls it."
        ) from None


def _takes_together(own: Mapping[str, inspect.Parameter]) -> bool:
    one = own.get(_TOGETHER)
    return one is not None and one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)


def _check_prompts(
    program: Callable[..., Any], own: Mapping[str, inspect.Parameter], prompts: Sequence[str] | Any
) -> None:
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    named = [one.name for one in own.values() if one.kind in kinds]
    if any(one.kind is one.VAR_KEYWORD for one in own.values()):
        return
    lines = [
        f"wrap: {name_of(program)} takes no '{prompt}'.{did_you_mean(str(prompt), named)} "
        f"It takes: {listed(named)}. Each prompt is handed in by its name, or all of them as "
        f"'{_TOGETHER}'."
        for prompt in prompts
        if prompt not in named
    ]
    if lines:
        raise ConfigError("\n".join(lines))


def _inputs(own: Mapping[str, inspect.Parameter], others: Sequence[str]) -> list[str]:
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [
        one.name
        for one in own.values()
        if one.kind in kinds and one.name not in others and one.default is one.empty
    ]


def _handing_together(program: Callable[..., Any]) -> Callable[..., Any]:
    def run(*inputs: Any, **prompts: Any) -> Any:
        return program(*inputs, prompts=prompts)

    run.__module__, _, run.__qualname__ = name_of(program).rpartition(".")
    return run
