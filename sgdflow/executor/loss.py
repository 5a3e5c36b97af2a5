"""The loss: says, as feedback, how far an output is from what was wanted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sgdflow.data import Example
from sgdflow.errors import NodeFailed, PromptError
from sgdflow.executor.functions import Function
from sgdflow.executor.gradients import LOSS
from sgdflow.executor.graph import Computed
from sgdflow.executor.walk import Failure
from sgdflow.llm import LLM
from sgdflow.prompting.ask import Ask
from sgdflow.prompting.templates import Prompts

_PROBLEMS = {
    "truncated": "the reply ends in mid-sentence at the token limit",
    "empty": "the reply is empty",
    "refusal": "the model refused to answer",
    "content_filter": "a content filter held the reply back",
    "bad_request": "the model's provider did not accept the prompt",
    "context_window": "the prompt is longer than the model can read",
    "too_large": "the reply is far too long",
}


@dataclass(frozen=True, slots=True)
class Reading:
    """How an output was read for its score, as templates see it."""

    answered: bool = True
    """Whether there is an output."""
    problem: str = ""
    """Why not, in words for a model."""
    node: str = ""
    """Where it failed, if that is not the output itself."""
    read_as: str | None = None
    """What the scorer took for the answer; None: it found none, or does not say."""
    compared_as: str = ""
    """How it compares, such as yes/no; empty where it does not say."""
    taken: str = ""
    """Which one it takes where an output holds several, in words for a model."""
    plain: bool = True
    """Whether the output holds nothing but what was read."""
    feedback: str = ""
    """What the scorer said of it, in its own words; empty where it said nothing."""


ANSWERED = Reading()


def unread(failure: Failure, output: str) -> Reading:
    """Return why there is no output, of a graph whose output this is."""
    problem = _PROBLEMS.get(failure.kind, failure.reason)
    return Reading(False, problem, "" if failure.origin == output else failure.origin)


class Loss(Protocol):
    """Gives the gradient that the backward pass starts from."""

    async def feedback(
        self,
        example: Example,
        output: Any,
        score: float,
        llm: LLM | None = None,
        reading: Reading = ANSWERED,
    ) -> Computed:
        """Return the semantic gradient of the output; raises NodeFailed.

        Where `reading` says that there is none, `output` is what came instead.
        """

    def problems(self, inputs: Sequence[str]) -> Iterator[str]:
        """Yield what would go wrong with examples of these inputs, before anything is computed."""


@dataclass(frozen=True, slots=True)
class PromptLoss:
    """Feedback written by a template."""

    prompts: Prompts
    prompt: str

    async def feedback(
        self,
        example: Example,
        output: Any,
        score: float,
        llm: LLM | None = None,
        reading: Reading = ANSWERED,
    ) -> Computed:
        """Return the rendered template."""
        try:
            variables = _variables(example, output, score, reading)
            return Computed(self.prompts.text(self.prompt, variables))
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
        self,
        example: Example,
        output: Any,
        score: float,
        llm: LLM | None = None,
        reading: Reading = ANSWERED,
    ) -> Computed:
        """Return the model's feedback; its call is counted for the node `loss`."""
        assert llm is not None
        answered = await self.ask.send(llm, LOSS, _variables(example, output, score, reading))
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
        self,
        example: Example,
        output: Any,
        score: float,
        llm: LLM | None = None,
        reading: Reading = ANSWERED,
    ) -> Computed:
        """Return what the function returns."""
        if not reading.answered:
            raise NodeFailed(f"there is no output to compare: {reading.problem}")
        return Computed(await self.function(output, example.target))

    def problems(self, inputs: Sequence[str]) -> Iterator[str]:
        """Yield why the function cannot be called."""
        yield from self.function.problems("output", "target")


def _variables(example: Example, output: Any, score: float, reading: Reading) -> Mapping[str, Any]:
    return {
        "inputs": dict(example.inputs),
        "output": output,
        "target": example.target,
        "score": score,
        "reading": reading,
    }


def _samples(inputs: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    """Yield made-up variables of a right, a wrong and an unreadable output for templates."""
    read_as = Reading(read_as="...", compared_as="...", taken="...", plain=False)
    for score, reading, target in (
        (1.0, read_as, "..."),
        (0.0, read_as, "..."),
        (0.5, Reading(feedback="..."), None),
        (0.0, Reading(False, "...", "..."), "..."),
    ):
        yield {
            "inputs": dict.fromkeys(inputs, "..."),
            "output": "...",
            "target": target,
            "score": score,
            "reading": reading,
        }
