"""The loss: scores an output and says, as feedback, how far it is from the target."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sgdflow.data import Example
from sgdflow.errors import NodeFailed, PromptError
from sgdflow.executor.functions import Function
from sgdflow.executor.gradients import LOSS
from sgdflow.executor.graph import Computed
from sgdflow.llm import LLM
from sgdflow.prompting.ask import Ask
from sgdflow.prompting.templates import Prompts


@dataclass(frozen=True, slots=True)
class Score:
    """A scoring callable: (output, target) -> a number in [0, 1]."""

    function: Function

    async def __call__(self, output: Any, target: Any) -> float:
        """Return the score; raises NodeFailed where the callable fails or leaves [0, 1]."""
        value = await self.function(output, target)
        if isinstance(value, bool | int | float) and 0 <= value <= 1:
            return float(value)
        raise NodeFailed(f"{self.function.name} returned {value!r}; a score is a number in [0, 1]")


class Loss(Protocol):
    """Gives the gradient that the backward pass starts from."""

    async def feedback(
        self, example: Example, output: Any, score: float, llm: LLM | None = None
    ) -> Computed:
        """Return the semantic gradient of the output; raises NodeFailed."""

    def problems(self, inputs: Sequence[str]) -> Iterator[str]:
        """Yield what would go wrong with examples of these inputs, before anything is computed."""


@dataclass(frozen=True, slots=True)
class PromptLoss:
    """Feedback written by a template."""

    prompts: Prompts
    prompt: str

    async def feedback(
        self, example: Example, output: Any, score: float, llm: LLM | None = None
    ) -> Computed:
        """Return the rendered template."""
        try:
            return Computed(self.prompts.text(self.prompt, _variables(example, output, score)))
        except PromptError as error:
            raise NodeFailed(str(error)) from error

    def problems(self, inputs: Sequence[str]) -> Iterator[str]:
        """Yield what is wrong with the template."""
        for sample in _samples(inputs):
            yield from self.prompts.problems(self.prompt, sample, "the loss")


@dataclass(frozen=True, slots=True)
class AskedLoss:
    """Feedback written by a model: a textual loss."""

    ask: Ask

    async def feedback(
        self, example: Example, output: Any, score: float, llm: LLM | None = None
    ) -> Computed:
        """Return the model's feedback; its call is counted for the node `loss`."""
        assert llm is not None
        answered = await self.ask.send(llm, LOSS, _variables(example, output, score))
        return Computed(answered.texts[""], (answered.call,))

    def problems(self, inputs: Sequence[str]) -> Iterator[str]:
        """Yield what is wrong with the template."""
        for sample in _samples(inputs):
            yield from self.ask.problems(sample, "the loss")


@dataclass(frozen=True, slots=True)
class CallableLoss:
    """Feedback computed in Python: (output, target) -> the gradient of the output."""

    function: Function

    async def feedback(
        self, example: Example, output: Any, score: float, llm: LLM | None = None
    ) -> Computed:
        """Return what the function returns."""
        return Computed(await self.function(output, example.target))

    def problems(self, inputs: Sequence[str]) -> Iterator[str]:
        """Yield why the function cannot be called."""
        yield from self.function.problems("output", "target")


def _variables(example: Example, output: Any, score: float) -> Mapping[str, Any]:
    return {
        "inputs": dict(example.inputs),
        "output": output,
        "target": example.target,
        "score": score,
    }


def _samples(inputs: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    """Yield made-up variables of a right and of a wrong output, to try templates with."""
    for score in (0.0, 1.0):
        yield {
            "inputs": dict.fromkeys(inputs, "..."),
            "output": "...",
            "target": "...",
            "score": score,
        }
