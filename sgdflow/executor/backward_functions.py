"""The backward functions: a prompt, a Python callable, and what a code node has without either."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from sgdflow.errors import NodeFailed
from sgdflow.executor.functions import Function
from sgdflow.executor.gradients import LOSS, Gradient, as_gradients
from sgdflow.executor.graph import (
    Computed,
    Node,
    Operands,
    View,
)
from sgdflow.executor.samples import ANYTHING, sample_operands
from sgdflow.executor.walk import together
from sgdflow.llm import LLM
from sgdflow.prompting.ask import Ask
from sgdflow.prompting.templates import Prompts, shown


@dataclass(frozen=True, slots=True)
class PromptBackward:
    """A backward function that asks a model."""

    ask: Ask
    per_edge: bool = False
    """One call for each predecessor instead of one for all."""
    neighbors: bool = True
    """Whether a call for one predecessor shows the others."""
    of_parameters: bool = False
    """Whether it also gives gradients of the node's own parameters."""

    async def backward(
        self,
        node: View,
        operands: Operands,
        output: Any,
        gradient: Any,
        targets: Sequence[str],
        llm: LLM,
    ) -> Computed:
        """Return one text for each target."""
        groups = [[target] for target in targets] if self.per_edge else [list(targets)]
        work = {"output": output, "gradients": as_gradients(gradient)}
        answers = await together(
            self.ask.send(llm, node.name, {**self._variables(node, operands, group), **work}, group)
            for group in groups
        )
        texts = {name: text for answered in answers for name, text in answered.texts.items()}
        return Computed(texts, tuple(answered.call for answered in answers))

    def problems(self, node: Node) -> Iterator[str]:
        """Yield what is wrong with the template for this node."""
        targets = (*node.predecessors, *(node.parameters if self.of_parameters else ()))
        if not targets:
            return
        view, operands = sample_operands(node)
        targets = targets[:1] if self.per_edge else targets
        sample = self._variables(view, operands, targets)
        work = {"output": ANYTHING, "gradients": (Gradient(LOSS, "..."),)}
        yield from self.ask.problems({**sample, **work}, f"node '{node.name}'", targets)

    def _variables(
        self, node: View, operands: Operands, targets: Sequence[str]
    ) -> Mapping[str, Any]:
        # For a parameter no predecessor is a neighbor to hide: they are what it worked with.
        hidden = not self.neighbors and any(t in operands.predecessors for t in targets)
        seen = {
            name: value
            for name, value in operands.predecessors.items()
            if not hidden or name in targets
        }
        return {
            **seen,
            **operands.parameters,
            "node": node.beside(seen) if hidden else node,
            "predecessors": shown(seen),
            "targets": list(targets),
            "parameters": dict(operands.parameters),
        }


@dataclass(frozen=True, slots=True)
class CallableBackward:
    """A backward function in Python: (operands, output, gradient) -> {operand: gradient}."""

    function: Function
    of_parameters: ClassVar[bool] = True

    async def backward(
        self,
        node: View,
        operands: Operands,
        output: Any,
        gradient: Any,
        targets: Sequence[str],
        llm: LLM,
    ) -> Computed:
        """Return what the function returns; an operand it leaves out gets no gradient."""
        result = await self.function(operands.all(), output, gradient)
        if not isinstance(result, Mapping):
            raise NodeFailed(
                f"{self.function.name} returned {result!r}, not a mapping of gradients"
            )
        if unknown := [name for name in result if name not in operands.all()]:
            raise NodeFailed(f"{self.function.name} returned gradients for unknown {unknown}")
        return Computed(result)

    def problems(self, node: Node) -> Iterator[str]:
        """Yield why the function cannot be called."""
        yield from self.function.problems("operands", "output", "gradient")


@dataclass(frozen=True, slots=True)
class PassThrough:
    """The backward function of a code node that declares none: no call is made.

    Every predecessor receives the node's own gradient together with what the node was
    given and what it computed, as the template puts it.
    """

    prompts: Prompts
    prompt: str = "backward/passthrough.jinja"
    of_parameters: ClassVar[bool] = False

    async def backward(
        self,
        node: View,
        operands: Operands,
        output: Any,
        gradient: Any,
        targets: Sequence[str],
        llm: LLM,
    ) -> Computed:
        """Return the same text for each target."""
        text = self.prompts.text(
            self.prompt,
            {
                "node": node,
                "predecessors": shown(operands.predecessors),
                "output": output,
                "gradients": as_gradients(gradient),
            },
        )
        return Computed(dict.fromkeys(targets, text))

    def problems(self, node: Node) -> Iterator[str]:
        """Yield what is wrong with the template."""
        view, operands = sample_operands(node)
        sample = {
            "node": view,
            "predecessors": shown(operands.predecessors),
            "output": ANYTHING,
            "gradients": (Gradient(LOSS, "..."),),
        }
        yield from self.prompts.problems(self.prompt, sample, f"node '{node.name}'")
