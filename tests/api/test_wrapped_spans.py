"""Calls that are seen as spans become nodes, each once, whoever else sees them."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import mlflow
import pytest
from openai import OpenAI
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

import sgdflow
from sgdflow.executor.forward import ForwardPass
from sgdflow.llm.heard import heard

PROMPTS = {"weight": "Price the weight of the order.", "desk": "Add up the prices of the parts."}
ORDER = {"order": "Price this order. Weight: heavy."}
SAID = "weight heavy: 10 (assumed: nothing is stated for weight heavy)"

DSPY = f"""
import json, dspy, mlflow, sgdflow

mlflow.dspy.autolog()
model = dspy.LM("openai/worlds", cache=False)

def agent(order, weight):
    with dspy.context(lm=model):
        return dspy.Predict(dspy.Signature("order -> price", weight))(order=order).price

passed = sgdflow.wrap(agent, {{"weight": "Price the weight."}}, trace=True).run({ORDER})
[call] = passed.calls["agent"]
print(json.dumps([call.messages[-1].content, call.reply]))
"""


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow opens a store where the program is, once somebody asks for its spans."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def store(tmp_path: Path, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("OPENAI_API_KEY", "made-up")
    monkeypatch.setenv("OPENAI_BASE_URL", endpoint)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/spans.db")
    # What is exported later would go to wherever the next test is.
    monkeypatch.setenv("MLFLOW_ENABLE_ASYNC_TRACE_LOGGING", "false")
    mlflow.tracing.reset()  # type: ignore[no-untyped-call]
    yield endpoint
    mlflow.tracing.reset()  # type: ignore[no-untyped-call]


def traced(program: Callable[..., Any]) -> list[tuple[str, str]]:
    """Return what the program's calls were told last, and replied."""
    passed: ForwardPass = sgdflow.wrap(program, PROMPTS, trace=True).run(ORDER)
    assert passed.failures == {}
    [calls] = passed.calls.values()
    assert all(call.times is not None for call in calls)
    return [(call.messages[-1].content, call.reply) for call in calls]


@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore")  # those of MLflow itself
def test_a_call_within_spans_is_one_call(store: str) -> None:
    """The openai client within spans: its calls are heard already."""
    client = OpenAI()

    def ask(instruction: str, text: str) -> str:
        roles: Any = [{"role": "system", "content": instruction}, {"role": "user", "content": text}]
        reply = client.chat.completions.create(model="worlds", messages=roles)
        return str(reply.choices[0].message.content)

    @mlflow.trace(span_type="LLM")
    def loud(instruction: str, text: str) -> str:
        return ask(instruction, text).upper()

    def by_client(order: str, weight: str, desk: str) -> str:
        return loud(desk, ask(weight, order))

    with client:
        expected = [(ORDER["order"], SAID), (SAID, "10")]
        assert traced(by_client) == expected
        mlflow.openai.autolog()
        try:
            assert traced(by_client) == expected
        finally:
            mlflow.openai.autolog(disable=True)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_mlflow_shows_what_dspy_asks_by_its_own_engine(store: str) -> None:
    """In a process of its own, where its connections stay open."""
    done = subprocess.run([sys.executable, "-c", DSPY], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    [told, reply] = json.loads(done.stdout.splitlines()[-1])
    assert ORDER["order"] in told
    assert reply == f"[[ ## price ## ]]\n{SAID}\n\n[[ ## completed ## ]]"


def test_opentelemetry_shows_calls_by_its_conventions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages in attributes or in an event; what is no call of a model is none."""
    provider = TracerProvider()
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    tracer = provider.get_tracer("an instrumentation")

    def told(role: str, text: str, **more: str) -> str:
        return json.dumps([{"role": role, "parts": [{"type": "text", "content": text}], **more}])

    def agent(order: str, weight: str, desk: str) -> str:
        system = json.dumps([{"type": "text", "content": weight}])
        with tracer.start_as_current_span("agent") as span:
            span.set_attribute("gen_ai.operation.name", "invoke_agent")
            with tracer.start_as_current_span("chat m") as one:
                one.set_attribute("gen_ai.operation.name", "chat")
                one.set_attribute("gen_ai.system_instructions", system)
                one.set_attribute("gen_ai.input.messages", told("user", order))
                one.set_attribute("gen_ai.output.messages", told("assistant", "7"))
                one.set_attribute("gen_ai.usage.input_tokens", 9)
            with tracer.start_as_current_span("chat m") as other:
                other.set_attribute("gen_ai.operation.name", "chat")
                asked = {"gen_ai.input.messages": told("user", f"{desk} 7")}
                answered = {"gen_ai.output.messages": told("assistant", "7.", finish_reason="stop")}
                other.add_event("gen_ai.client.inference.operation.details", asked | answered)
            with tracer.start_as_current_span("chat m") as silent:
                silent.set_attribute("gen_ai.operation.name", "chat")
        return "7."

    passed = sgdflow.wrap(agent, PROMPTS, trace=True).run(ORDER)
    [calls] = passed.calls.values()
    said = [([(m.role, m.content) for m in call.messages], call.reply) for call in calls]
    assert said == [
        ([("system", PROMPTS["weight"]), ("user", ORDER["order"])], "7"),
        ([("user", f"{PROMPTS['desk']} 7")], "7."),
    ]
    assert [call.usage.prompt for call in calls] == [9, 0]


ANTHROPIC = {"system": "Price it.", "messages": [{"role": "user", "content": "An order."}]}
FORMS: Mapping[str, tuple[Any, Any, list[tuple[str, str]], str]] = {
    "anthropic": (
        ANTHROPIC,
        {"role": "assistant", "content": [{"type": "text", "text": "7"}]},
        [("system", "Price it."), ("user", "An order.")],
        "7",
    ),
    "gemini": (
        {"contents": "An order.", "config": {"system_instruction": "Price it."}},
        {"candidates": [{"content": {"role": "model", "parts": [{"text": "7"}]}}]},
        [("system", "Price it."), ("user", "An order.")],
        "7",
    ),
    "langchain": (
        [[{"type": "system", "content": "Price it."}, {"type": "human", "content": "An order."}]],
        {"generations": [[{"text": "7", "message": {"type": "ai", "content": "7"}}]]},
        [("system", "Price it."), ("user", "An order.")],
        "7",
    ),
    "dspy": (
        {"prompt": None, "messages": ANTHROPIC["messages"]},
        ["7"],
        [("user", "An order.")],
        "7",
    ),
    "a tool": (
        ANTHROPIC["messages"],
        {"content": [{"type": "tool_use", "name": "look", "input": {"at": 1}}]},
        [("user", "An order.")],
        '[{"name": "look", "arguments": {"at": 1}}]',
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_what_was_said_is_read_in_whatever_form(form: str) -> None:
    asked, answer, messages, reply = FORMS[form]
    call = heard(asked, answer)
    assert call is not None
    assert [(one.role, one.content) for one in call.messages] == messages
    assert call.reply == reply


@pytest.mark.parametrize("answer", [None, {}, {"embedding": [0.5]}, object()])
def test_what_is_no_text_is_not_heard(answer: Any) -> None:
    assert heard({"messages": []}, answer) is None


def test_a_program_that_is_never_heard_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    flow = sgdflow.wrap(lambda order, weight, desk: "7", PROMPTS, trace=True)
    with caplog.at_level(logging.WARNING, "sgdflow"):
        flow.predict_lines([json.dumps(ORDER)] * 4, lambda one: None)
        assert caplog.messages == []
        flow.predict_lines([json.dumps(ORDER)] * 12, lambda one: None)
    [told] = caplog.messages
    assert told.startswith("trace: no call of a model was heard in 5 runs of ")
    assert "docs/agents.md" in told
