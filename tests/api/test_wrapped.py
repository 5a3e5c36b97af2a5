"""Somebody's own program as a graph: gradients find the prompt to blame where calls are heard."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import litellm
import pytest
from openai import AsyncOpenAI, OpenAI

import sgdflow
from sgdflow.errors import ConfigError

PAGE = Path(__file__).resolve().parents[2] / "docs" / "agents.md"
PROMPTS = {
    "weight": "Price the weight of the order.",
    "zone": "Price the zone of the order.",
    "desk": "Add up the prices of the parts.",
}
PRICES = {
    "weight": {"none": 0, "light": 7, "heavy": 21, "bulky": 10},
    "zone": {"none": 0, "north": 4, "east": 10, "south": 33},
}
ROWS = [
    {
        "order": f"Price this order. Weight: {weight}. Zone: {zone}.",
        "target": str(PRICES["weight"][weight] + PRICES["zone"][zone]),
    }
    for weight in PRICES["weight"]
    for zone in PRICES["zone"]
    if (weight, zone) != ("none", "none")
] * 3
ORDER = {"order": "Price this order. Weight: heavy. Zone: south."}


@pytest.fixture
def here(tmp_path: Path, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "made-up")
    monkeypatch.setenv("OPENAI_BASE_URL", endpoint)
    return endpoint


def right(output: str, target: str) -> float:
    return float(output.strip() == target)


def said(instruction: str, text: str) -> list[Any]:
    return [{"role": "system", "content": instruction}, {"role": "user", "content": text}]


def with_openai(client: OpenAI) -> Callable[..., str]:
    def ask(instruction: str, text: str) -> str:
        reply = client.chat.completions.create(model="worlds", messages=said(instruction, text))
        return str(reply.choices[0].message.content)

    def agent(order: str, *, weight: str, zone: str, desk: str) -> str:
        return ask(desk, "\n".join([ask(weight, order), ask(zone, order)]))

    return agent


def facts(text: Any) -> set[str]:
    """Return what a text states of the tariff."""
    return set(re.findall(r"(weight|zone) \w+ costs", str(text)))


def test_the_page_runs_and_the_right_prompts_learn(here: str) -> None:
    page = PAGE.read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == 3
    names: dict[str, Any] = {}
    exec("\n".join(blocks), names)
    names["client"].close()
    result, learned = names["result"], names["learned"]
    assert result.initial.test.mean < 0.5 < 0.9 < result.final.test.mean
    assert facts(learned["weight"]) == {"weight"}
    assert facts(learned["zone"]) == {"zone"}
    assert learned["desk"] == PROMPTS["desk"]
    calls = (result.directory / "calls.jsonl").read_text(encoding="utf-8")
    assert '"inside"' in calls


def test_without_a_trace_nothing_tells_the_prompts_apart(here: str) -> None:
    with OpenAI() as client:
        agent = sgdflow.wrap(with_openai(client), PROMPTS, examples=ROWS, score=right)
        result = agent.optimize(record=False, progress=False)
    assert result.final.test is not None
    assert result.final.test.mean > 0.9
    learned = list(map(facts, result.parameters.values()))
    assert learned == [{"weight", "zone"}] * 3


@pytest.mark.filterwarnings("ignore:Item 'summary' on TypedDict class")  # litellm's own types
def test_what_calls_are_made_by_makes_no_difference(here: str) -> None:
    """The openai client, the same awaited, litellm: the same calls are heard, each once."""

    client = OpenAI()

    def lite(order: str, prompts: Mapping[str, str]) -> str:
        def ask(instruction: str, text: str) -> str:
            told = said(instruction, text)
            reply = litellm.completion("openai/worlds", told, api_base=here, client=client)
            return str(reply.choices[0].message.content)

        both = [ask(prompts["weight"], order), ask(prompts["zone"], order)]
        return ask(prompts["desk"], "\n".join(both))

    async def awaited(order: str, **prompts: str) -> str:
        async with AsyncOpenAI() as client:

            async def ask(instruction: str, text: str) -> str:
                reply = await client.chat.completions.create(
                    model="worlds", messages=said(instruction, text)
                )
                return str(reply.choices[0].message.content)

            both = [await ask(prompts["weight"], order), await ask(prompts["zone"], order)]
            return await ask(prompts["desk"], "\n".join(both))

    heard = []
    with client:
        for program in (with_openai(client), lite, awaited):
            passed = sgdflow.wrap(program, PROMPTS, trace=True).run(ORDER)
            assert passed.failures == {}
            [(name, calls)] = passed.calls.items()
            heard.append([(one.messages, one.reply, one.usage) for one in calls])
            assert passed.values[name] == "20"
    assert heard[0] == heard[1] == heard[2]
    assert [messages[0].content for messages, *_ in heard[0]] == list(PROMPTS.values())


def test_responses_are_heard_and_streams_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the client itself, answered by nobody but this test."""

    def answer(request: httpx.Request) -> httpx.Response:
        asked = json.loads(request.content)
        if asked.get("stream"):
            return httpx.Response(200, headers=STREAMED, text="data: [DONE]\n\n")
        if request.url.path.endswith("/responses"):
            text = {"type": "output_text", "text": "blue", "annotations": []}
            message = {"type": "message", "role": "assistant", "content": [text]}
            return httpx.Response(200, json={"object": "response", "output": [message]})
        function = {"name": "look", "arguments": "{}"}
        calls = [{"id": "1", "type": "function", "function": function}]
        said = {"role": "assistant", "content": None, "tool_calls": calls}
        return httpx.Response(200, json={"choices": [{"index": 0, "message": said}]})

    with (
        httpx.Client(transport=httpx.MockTransport(answer)) as http,
        OpenAI(api_key="none", http_client=http) as client,
    ):

        def agent(question: str, *, plan: str) -> str:
            client.responses.create(model="m", instructions=plan, input=question)
            part = {"type": "text", "text": question}
            told: Any = [{"role": "user", "content": [part]}]
            list(client.chat.completions.create(model="m", messages=told, stream=True))
            client.chat.completions.create(model="m", messages=told)
            return "done"

        [calls] = (
            sgdflow.wrap(agent, {"plan": "Plan."}, trace=True)
            .run({"question": "Why?"})
            .calls.values()
        )
    heard = [([one.content for one in call.messages], call.reply) for call in calls]
    assert heard == [
        (["Plan.", "Why?"], "blue"),
        (["Why?"], '[{"name": "look", "arguments": "{}"}]'),
    ]


STREAMED = {"content-type": "text/event-stream"}


def test_nothing_is_heard_where_nothing_is_traced(here: str) -> None:
    with OpenAI() as client:
        agent = with_openai(client)
        assert sgdflow.wrap(agent, PROMPTS).run(ORDER).calls == {"agent": ()}
        assert agent(ORDER["order"], **PROMPTS) == "20"


BAD: list[tuple[Any, Any, Mapping[str, Any], str]] = [
    ("agent", PROMPTS, {}, "wrap: 'agent' cannot be called; give a function."),
    (len, PROMPTS, {}, "len takes no 'weight'."),
    (lambda order, weight: "", {}, {}, "wrap: prompts should be a dictionary of names and texts"),
    (
        lambda order, *, wait: "",
        {"wiat": "Price it."},
        {},
        "takes no 'wiat'. Did you mean 'wait'? It takes: order, wait. Each prompt is handed in by",
    ),
    (lambda *, weight: "", {"weight": "Price it."}, {}, "takes no input besides its prompts."),
    (
        lambda order, more, *, weight, flag: "",
        {"weight": "Price it."},
        {},
        "missing a required argument: 'flag'.",
    ),
    (lambda order, weight: "", {"weight": None}, {}, "weight: should be a text or a number"),
    (lambda order, weight: "", {"weight": "x"}, {"at_once": 0}, "at_once: input should be greater"),
]


@pytest.mark.parametrize(("program", "prompts", "more", "told"), BAD)
def test_bad_input_is_told(program: Any, prompts: Any, more: Mapping[str, Any], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        sgdflow.wrap(program, prompts, **more)
    assert told in str(caught.value)
