"""Prompts that no model of theirs can read: nobody is asked, and all else is as if one had been."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from backends import Answering

from sgdflow.config.paths import prompt_folders
from sgdflow.errors import CallFailed
from sgdflow.executor.backward import Differentiation, backward_pass
from sgdflow.executor.backward_functions import PromptBackward
from sgdflow.executor.forward import ForwardPass, PromptForward
from sgdflow.executor.graph import Graph, Node, Parameter
from sgdflow.llm import Message, Spent, Usage
from sgdflow.llm.backend import Answer
from sgdflow.llm.client import Client, Limits, ModelSpec
from sgdflow.llm.failures import Failure, Noticed
from sgdflow.llm.listing import Listing
from sgdflow.llm.windows import Windows
from sgdflow.prompting.ask import Ask
from sgdflow.prompting.replies import ReplyFormat
from sgdflow.prompting.templates import Prompts

PROMPTS = Prompts(prompt_folders(Path(__file__).parent))
SPEC = ModelSpec("openai/m", parameters={"temperature": 0})


def words(messages: Sequence[Message]) -> int:
    return sum(len(one.content.split()) for one in messages)


class Reading(Answering):
    """Refuses what has more words than it reads; says before how many these are, or does not."""

    def __init__(self, window: int, *, listed: bool) -> None:
        self.window, self.listed = window, listed
        self.seen: list[Sequence[Message]] = []

    def window_of(self, spec: ModelSpec) -> int | None:
        return self.window if self.listed else None

    async def ask(self, spec: ModelSpec, messages: Sequence[Message], **how: Any) -> Answer:
        self.seen.append(messages)
        if words(messages) > self.window:
            raise Noticed(Failure("context_window", "too long"))
        asked = re.findall(r'<gradient name="(\w+)">\.\.\.', messages[-1].content)
        text = "".join(f'<gradient name="{n}">{n} should differ</gradient>' for n in asked)
        return Answer(text or "yes", "stop", Usage(1, 1), 0.0)


@pytest.mark.parametrize(
    ("text", "window", "sent"),
    [
        ("word " * 100, 99, False),
        ("word " * 100, 100, True),
        ("word " * 100, 110, True),  # by the estimate 125, which may be too many
        (" " * 4000 + "word", 100, True),
        ("x" * 4000, 100, True),
        ("yes", 1, True),
    ],
)
def test_what_cannot_fit_is_not_sent_and_all_that_might_is(
    text: str, window: int, sent: bool
) -> None:
    backend = Reading(window, listed=True)
    message = [Message("user", text)]

    async def main() -> Mapping[str, Spent]:
        async with Client({"forward": SPEC}, Limits(), {}, backend=backend) as llm:
            if sent:
                assert (await llm.complete("forward", message, node="n")).text == "yes"
                return llm.spent()
            with pytest.raises(CallFailed) as failed:
                await llm.complete("forward", message, node="n")
            assert failed.value.kind == "context_window"
            assert f"at least 100 tokens, where it reads {window}; this was not sent" in str(
                failed.value
            )
            return llm.spent()

    spent = asyncio.run(main())["forward"]
    assert len(backend.seen) == spent.calls == sent
    assert spent.faults == ({} if sent else {"context_window": 1})


def test_a_fallback_that_reads_more_is_asked() -> None:
    class Two(Reading):
        def window_of(self, spec: ModelSpec) -> int | None:
            return 10 if spec.model == "openai/m" else 1000

    backend = Two(1000, listed=True)
    line = ModelSpec("openai/m", parameters=SPEC.parameters, fallbacks=(ModelSpec("openai/long"),))

    async def main() -> str:
        async with Client({"forward": line}, Limits(), {}, backend=backend) as llm:
            return (await llm.complete("forward", [Message("user", "a " * 90)], node="n")).text

    assert asyncio.run(main()) == "yes"
    assert len(backend.seen) == 1


def differentiate(backend: Reading) -> tuple[Any, Mapping[str, Spent]]:
    """Differentiate a node that six long texts feed."""
    names = [f"member_{i}" for i in range(6)]
    forward = PromptForward(Ask(PROMPTS, "forward/node.jinja", "forward", ReplyFormat("text")))
    nodes = {n: Node(n, ("question",), {"instruction": f"{n}.instruction"}, forward) for n in names}
    nodes["join"] = Node("join", (*names,), {"instruction": "join.instruction"}, forward)
    own = {f"{n}.instruction": Parameter(f"{n}.instruction", f"Task of {n}.") for n in nodes}
    graph = Graph("wide", ("question",), own, nodes, "join")
    passed = ForwardPass("e", {"question": "Q", **dict.fromkeys(nodes, "word " * 1000)}, {}, {})
    critic = Ask(PROMPTS, "backward/joint.jinja", "backward", ReplyFormat("tagged", "gradient"))
    how = Differentiation(PromptBackward(critic))
    texts = {name: parameter.initial for name, parameter in own.items()}

    async def main() -> tuple[Any, Mapping[str, Spent]]:
        async with Client({"backward": SPEC}, Limits(retries=0), {}, backend=backend) as llm:
            found = await backward_pass(graph, texts, passed, "wrong", tuple(texts), how, llm)
            return found, llm.spent()

    return asyncio.run(main())


def test_groups_are_halved_as_after_a_providers_refusal() -> None:
    refusing, knowing = Reading(4000, listed=False), Reading(4000, listed=True)
    (after, took), (found, takes) = differentiate(refusing), differentiate(knowing)
    assert found.gradients == after.gradients
    assert not found.failures
    fitting = [one for one in refusing.seen if words(one) <= 4000]
    assert 1 < len(fitting) < len(refusing.seen)
    assert sorted(map(str, knowing.seen)) == sorted(map(str, fitting))
    assert takes["backward"].faults == took["backward"].faults
    assert takes["backward"].calls == len(fitting)


class Listed(Reading):
    """Knows what is listed."""

    def window_of(self, spec: ModelSpec) -> int | None:
        return Listing().window_of(spec)


@pytest.mark.parametrize(
    ("spec", "known"),
    [
        (ModelSpec("openai/gpt-4o"), True),
        (ModelSpec("openai/gpt-4o", "http://localhost:1/v1"), False),
        (ModelSpec("openai/gpt-4o", parameters={"extra_headers": {"X-Window": "1m"}}), False),
        (ModelSpec("azure/gpt-4", "https://mine.openai.azure.com"), False),
        (ModelSpec("ollama/llama3.1"), False),
        (ModelSpec("openai/nobody"), False),
    ],
)
def test_only_what_is_surely_known_counts(spec: ModelSpec, known: bool) -> None:
    failure = Windows(Listed(0, listed=True)).beyond(spec, [Message("user", "a " * 1_000_000)])
    assert (failure is not None) == known


def test_a_listed_window_of_nothing_is_taken_for_unknown() -> None:
    message = [Message("user", "two words")]
    assert Windows(Reading(0, listed=True)).beyond(SPEC, message) is None
    assert Windows(Reading(1, listed=True)).beyond(SPEC, message) is not None
