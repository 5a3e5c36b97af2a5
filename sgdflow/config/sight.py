"""Whether the data has what nodes take in a form of its own, and whether their models can see."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from sgdflow.data import Splits
from sgdflow.data.examples import SPLITS
from sgdflow.errors import listed, plural, shortly
from sgdflow.executor.forward import PromptForward
from sgdflow.executor.graph import Graph
from sgdflow.executor.mapping import Each
from sgdflow.llm.backend import sees
from sgdflow.llm.calling import Calling
from sgdflow.prompting.beside import turns_of

_SHOWN = 3


def blind(graph: Graph, calling: Calling) -> Iterator[str]:
    """Yield which nodes show images to models that see none; nothing is called."""
    for name, forward in _asking(graph).items():
        role = forward.ask.role
        for spec in calling.models[role].line if forward.images else ():
            if not sees(calling.backend, spec):
                yield (
                    f"graph.nodes.{name}.forward.images: {spec.model} (llm.models.{role}) is not "
                    "known to see images. Choose a model that does, or, where yours does, say so: "
                    f"llm.models.{role}.sees=true."
                )


def not_inputs(graph: Graph) -> Iterator[str]:
    """Yield what is shown to models and did not come with the query.

    What a model wrote names no file that is read, and speaks in nobody's name.
    """
    for name, forward in _asking(graph).items():
        for variable in filter(None, (forward.history, *forward.images)):
            if variable in graph.nodes:
                key = "history" if variable == forward.history else "images"
                yield (
                    f"graph.nodes.{name}.forward.{key}: '{variable}' is computed; only inputs of "
                    f"the graph can be shown so. Inputs: {listed(graph.inputs)}."
                )


def unseen(graph: Graph, splits: Splits) -> Iterator[str]:
    """Yield which examples hold no image, conversation or list, where a node takes one."""
    for name, forward in _asking(graph).items():
        looks: Mapping[str, Callable[[Any], object]] = {
            **({forward.history: turns_of} if forward.history else {}),
            **{image: forward.sight for image in forward.images},
            **({forward.each: _list} if isinstance(forward, Each) else {}),
        }
        for variable, look in looks.items():
            if variable not in graph.inputs:
                continue
            found = list(_refused(variable, look, splits))
            yield from (f"{told} (graph.nodes.{name}.forward)." for told in found[:_SHOWN])
            if len(found) > _SHOWN:
                yield f"and {plural(len(found) - _SHOWN, 'more example')} for '{variable}'."


def _list(value: Any) -> None:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise ValueError(f"is {shortly(repr(value))}, no list to go through")


def _refused(variable: str, look: Callable[[Any], object], splits: Splits) -> Iterator[str]:
    for split in SPLITS:
        for example in getattr(splits, split):
            try:
                look(example.inputs[variable])
            except ValueError as error:
                yield f"task.data: {example.place}: '{variable}' {error}"


def _asking(graph: Graph) -> Mapping[str, PromptForward]:
    nodes = graph.nodes.items()
    return {name: one.forward for name, one in nodes if isinstance(one.forward, PromptForward)}
