"""Somebody's own program as a graph: gradients find the prompt to blame where calls are heard."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import litellm
import pytest
from litellm import completion
from openai import AsyncOpenAI, OpenAI

import sgdflow
from sgdflow.errors import ConfigError

PAGE = Path(__file__).resolve().parents[2] / "docs" / "agents.md"
CODE = re.compile(r"```python\n(.*?)```", re.DOTALL)
PROMPTS = {
    "weight": "Price the weight of the order.",
    "zone": "Price the zone of the order.",
    "desk": "Add up the prices of the parts.",
}
PRICES = {
    "weight": {"none": 0, "light": 7, "heavy": 21, "bulky": 10},
    "zone": {"none": 0, "north": 4, "east": 10, "south": 33},
}
TOLD = """
import json
print(json.dumps([{0}.initial.test.mean, {0}.final.test.mean, dict({0}.parameters)]))
"""
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


def blocks() -> Mapping[str, list[str]]:
    """Return the blocks of each part of the page."""
    parts = PAGE.read_text(encoding="utf-8").split("\n## ")
    return {part.partition("\n")[0]: CODE.findall(part) for part in parts}


def run(*code: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec("\n".join(code), names)
    return names


def run_apart(result: str, *code: str) -> Any:
    """Return what a result of code comes to in a process of its own, where clients stay open."""
    Path("agent.py").write_text("\n".join([*code, TOLD.format(result)]), encoding="utf-8")
    done = subprocess.run([sys.executable, "agent.py"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    initial, final, parameters = json.loads(done.stdout.splitlines()[-1])
    test = SimpleNamespace(mean=initial), SimpleNamespace(mean=final)
    before, after = (SimpleNamespace(test=one) for one in test)
    return SimpleNamespace(initial=before, final=after, parameters=parameters)


def learned_well(result: Any, node: str) -> None:
    assert result.initial.test.mean < 0.5 < 0.9 < result.final.test.mean
    learned = {name.removeprefix(f"{node}."): text for name, text in result.parameters.items()}
    assert facts(learned["weight"]) == {"weight"}
    assert facts(learned["zone"]) == {"zone"}
    assert learned["desk"] == PROMPTS["desk"]


@pytest.mark.timeout(600)
def test_the_page_runs_and_the_right_prompts_learn(here: str) -> None:
    names = run(*blocks()["# An existing agent"])
    names["client"].close()
    learned_well(names["result"], "price")
    calls = (names["result"].directory / "calls.jsonl").read_text(encoding="utf-8")
    assert '"inside"' in calls


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "part", ["A LangGraph graph", pytest.param("A DSPy program", marks=pytest.mark.long)]
)
def test_agents_of_frameworks_learn_the_right_prompts(part: str, here: str) -> None:
    kind = part.split()[1].lower()
    _, data, *_ = blocks()["# An existing agent"]
    learned_well(run_apart(f"{kind}_result", data, *blocks()[part]), f"{kind}_price")


@pytest.mark.timeout(600)
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

    def taken(order: str, prompts: Mapping[str, str]) -> str:
        def ask(name: str, text: str) -> str:
            told = said(prompts[name], text)
            reply = completion("openai/worlds", told, api_base=here, client=client)
            return str(reply.choices[0].message.content)

        return ask("desk", "\n".join([ask("weight", order), ask("zone", order)]))

    heard = []
    with client:
        for program in (with_openai(client), lite, taken, awaited):
            passed = sgdflow.wrap(program, PROMPTS, trace=True).run(ORDER)
            assert passed.failures == {}
            [(name, calls)] = passed.calls.items()
            heard.append([(one.messages, one.reply, one.usage) for one in calls])
            assert passed.values[name] == "20"
    assert heard[0] == heard[1] == heard[2] == heard[3]
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
        choice = {"index": 0, "message": said, "finish_reason": "tool_calls"}
        return httpx.Response(200, json={"choices": [choice]})

    with (
        httpx.Client(transport=httpx.MockTransport(answer)) as http,
        OpenAI(api_key="none", http_client=http) as client,
    ):

        def agent(question: str, *, plan: str) -> str:
            client.responses.create(model="m", instructions=plan, input=question)
            raw = client.chat.completions.with_raw_response.create(model="m", messages=ASKED)
            assert raw.parse().choices[0].message.tool_calls
            client.chat.completions.parse(model="m", messages=ASKED)
            list(client.chat.completions.create(model="m", messages=ASKED, stream=True))
            client.chat.completions.create(model="m", messages=ASKED)
            return "done"

        [calls] = (
            sgdflow.wrap(agent, {"plan": "Plan."}, trace=True)
            .run({"question": "Why?"})
            .calls.values()
        )
    heard = [([one.content for one in call.messages], call.reply) for call in calls]
    assert heard == [
        (["Plan.", "Why?"], "blue"),
        *[(["Why?"], '[{"name": "look", "arguments": "{}"}]')] * 3,
    ]


ASKED: Any = [{"role": "user", "content": [{"type": "text", "text": "Why?"}]}]
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
        lambda order, prompts: "",
        {"weight.predict": "Price it."},
        {},
        "'weight.predict' cannot name a prompt; a name is letters, digits and _, such as "
        "'weight_predict'.",
    ),
    (
        lambda order, weight: "",
        {"weight": "Price it."},
        {"inputs": "order"},
        "wrap: inputs should be a list of names, such as ['order'].",
    ),
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
