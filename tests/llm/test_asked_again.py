"""A reply that could not be used, asked for again of a server: what moves, and what it takes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from backends import Answering

from sgdflow.config.compose import compose
from sgdflow.config.models import build_models
from sgdflow.config.paths import prompt_folders
from sgdflow.config.schema import LLMConf, validate
from sgdflow.llm import Message, Spent, Usage
from sgdflow.llm.backend import Answer
from sgdflow.llm.client import Client
from sgdflow.llm.models import Limits, ModelSpec
from sgdflow.prompting.ask import Ask
from sgdflow.prompting.replies import ReplyFormat
from sgdflow.prompting.templates import Prompts

PROMPTS = Prompts(prompt_folders(Path(__file__).parent))


@dataclass
class Rambling(Answering):
    """Is cut off twice, and then answers; each reply takes more tokens than the one before."""

    sent: list[dict[str, Any]] = field(default_factory=list)

    async def ask(
        self, spec: ModelSpec, messages: Sequence[Message], *, sample: int, **_: Any
    ) -> Answer:
        self.sent.append(dict(spec.parameters_of(messages, sample)))
        number = len(self.sent)
        usage = Usage(100 * number, 10 * number)
        if number < 3:
            return Answer(" ".join(map(str, range(300))), "length", usage, 0.0)
        return Answer("<output>yes</output>", "stop", usage, 0.0)

    async def close(self) -> None: ...


@pytest.mark.parametrize(
    ("llm", "limit"), [("vllm", "max_tokens"), ("openai", "max_completion_tokens")]
)
def test_what_moves_and_what_it_takes_is_counted_apart(llm: str, limit: str) -> None:
    words = [f"llm={llm}", f"++llm.parameters={{temperature: 0, {limit}: 700, seed: 3}}"]
    models = build_models(validate(LLMConf, compose(words)["llm"], "llm"))
    server = Rambling()
    ask = Ask(PROMPTS, "reply/again.jinja", "forward", ReplyFormat())  # any template will do

    async def work() -> Spent:
        forward = {"forward": models["forward"]}
        async with Client(forward, Limits(), {"OPENAI_API_KEY": "k"}, backend=server) as client:
            variables = {"reason": "it is the first", "truncated": False}
            answered = await ask.send(client, "answer", variables)
            assert answered.texts == {"": "yes"}
            return client.spent()["forward"]

    spent = asyncio.run(work())
    known = [
        {name: one[name] for name in ("temperature", "seed", limit)} for one in server.sent
    ]  # with what else the file says of a model
    assert known == [
        {"temperature": 0, "seed": 3, limit: 700},
        {"temperature": 0.5, "seed": 1003, limit: 1400},
        {"temperature": 0.5, "seed": 2003, limit: 2048},
    ]
    assert (spent.calls, spent.usage) == (3, Usage(600, 60))
    assert (spent.faults, spent.again) == ({"malformed": 2}, Usage(500, 50))
