"""A node whose model may call tools before it answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import sgdflow
from sgdflow.config.build import build_graph, expand_graph
from sgdflow.config.compose import compose
from sgdflow.config.paths import prompt_folders
from sgdflow.config.prepare import prepare
from sgdflow.errors import ConfigError
from sgdflow.executor.backward import Differentiation, backward_pass
from sgdflow.executor.backward_functions import PromptBackward
from sgdflow.executor.forward import ForwardPass, forward_pass
from sgdflow.executor.graph import Graph
from sgdflow.inspection import rehearsed
from sgdflow.llm import Message
from sgdflow.llm.scripted import Said, ScriptedLLM
from sgdflow.plan.estimate import step_estimate
from sgdflow.prompting.ask import Ask
from sgdflow.prompting.replies import ReplyFormat
from sgdflow.prompting.templates import Prompts
from sgdflow.update.evidence import gather_evidence

PROMPTS = Prompts(prompt_folders(Path("nowhere")))


def tooled(**forward: Any) -> Graph:
    conf = json.loads(json.dumps(compose(["graph=tooled"])["graph"]))
    conf["nodes"]["answer"]["forward"] |= forward
    return build_graph(expand_graph(conf), PROMPTS)


def call(expression: Any, **more: Any) -> str:
    return json.dumps({"tool": "calculate", "arguments": {"expression": expression, **more}})


def answer(text: str) -> str:
    return json.dumps({"tool": "answer", "answer": text})


def run(graph: Graph, *replies: str) -> tuple[ForwardPass, ScriptedLLM]:
    told = iter(replies)

    def script(role: str, node: str, messages: Sequence[Message]) -> Said:
        if role == "backward":
            return '<gradient name="plan">Say what to add first.</gradient>'
        return "<output>p</output>" if node == "plan" else next(told)

    llm = ScriptedLLM(script)
    start = graph.initial()
    return asyncio.run(forward_pass(graph, start, "one", {"question": "Q?"}, llm)), llm


def test_a_model_calls_a_tool_and_is_told_what_it_returns() -> None:
    passed, llm = run(tooled(), call("2 * 3"), call("6 + 1"), answer(" 7 "))
    assert passed.failures == {}
    assert passed.values["answer"] == "7"
    asked = [one.messages for one in llm.requests if one.node == "answer"]
    assert [len(messages) for messages in asked] == [2, 4, 6]
    assert '<tool name="calculate(expression)">\nReturns the value of' in asked[0][-1].content
    assert "<calculate>" not in asked[0][-1].content
    assert [said.role for said in asked[2]] == ["system", "user", *["assistant", "user"] * 2]
    told = asked[1][-1].content
    assert '`calculate(expression="2 * 3")` came to\n\n<result>\n6\n</result>' in told
    assert "call another tool (at most 1 more)" in asked[2][-1].content
    assert {messages[-1].form for messages in asked} == {asked[0][-1].form} != {""}
    assert len(passed.calls["answer"]) == 3
    assert passed.transcripts == {
        "answer": 'calculate(expression="2 * 3")\n-> 6\ncalculate(expression="6 + 1")\n-> 7'
    }


def test_the_backward_function_and_writers_see_the_transcript() -> None:
    graph = tooled()
    passed, llm = run(graph, call("2 * 3"), answer("6"))
    joint = Ask(PROMPTS, "backward/joint.jinja", "backward", ReplyFormat("tagged", "gradient"))
    how, names = Differentiation(PromptBackward(joint)), graph.optimisable
    made = backward_pass(graph, graph.initial(), passed, "Wrong.", names, how, llm)
    back = asyncio.run(made)
    assert back.failures == {}
    asked = llm.requests[-1].messages[-1].content
    assert (
        "<output>\n6\n\nIt came to this by\n"
        'calculate(expression="2 * 3")\n-> 6\n</output>'
    ) in asked  # fmt: skip
    evidence = gather_evidence(graph, [passed], {"one": back}, names)
    assert list(evidence) == ["plan.instruction", "answer.instruction", "answer.calculate"]
    assert evidence["plan.instruction"][0].gradients[0].value == "Say what to add first."
    [item] = evidence["answer.calculate"]
    assert (item.output, item.reasoning) == ("6", passed.transcripts["answer"])
    assert item.gradients[0].value == "Wrong."


def test_what_a_tool_raises_is_told_to_the_model() -> None:
    passed, llm = run(tooled(), call("two"), answer("unknown"))
    assert passed.values["answer"] == "unknown"
    told = llm.requests[-1].messages[-1].content
    assert "failed: sgdflow.library.tools.calculate raised ValueError: 'two' holds" in told


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ('{"tool": "search"}', "'search' is not one of ['calculate', 'answer']"),
        ('{"tool": "answer"}', 'the answer is missing: write it under "answer"'),
        (call("1", base=2), "the tool cannot be called so: sgdflow.library.tools.calculate("),
        ('{"tool": "calculate"}', "missing a required argument: 'expression'"),
    ],
)
def test_a_call_that_cannot_be_made_is_asked_for_again(bad: str, reason: str) -> None:
    passed, llm = run(tooled(), bad, answer("7"))
    assert passed.values["answer"] == "7"
    assert reason in llm.requests[-1].messages[-1].content
    assert passed.transcripts == {}


def test_after_the_declared_calls_there_is_only_an_answer() -> None:
    passed, llm = run(tooled(rounds=1, attempts=2), call("1"), call("2"), call("3"))
    failure = passed.failures["answer"]
    assert "no tool may be called any more" in failure.reason
    assert failure.kind == "malformed"
    assert len(failure.calls) == 2
    assert "Answer now" in llm.requests[2].messages[-1].content


def test_tools_may_take_so_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "slow_tool.py").write_text(
        'import time\n\ndef wait(seconds):\n    """Wait."""\n    time.sleep(seconds)\n'
    )
    node = {
        "predecessors": ["question"],
        "forward": {"tools": {"wait": {"_target_": "slow_tool.wait"}}},
        "timeout": 0.1,
    }
    conf = {"name": "g", "inputs": ["question"], "nodes": {"answer": node}, "output": "answer"}
    waiting = json.dumps({"tool": "wait", "arguments": {"seconds": 60}})
    passed, llm = run(build_graph(expand_graph(conf), PROMPTS), waiting, answer("late"))
    assert passed.values["answer"] == "late"
    assert "it took longer than 0.1 s" in llm.requests[-1].messages[-1].content


@pytest.mark.parametrize(("retries", "said"), [(2, "-> 3"), (1, "-> failed: ")])
def test_a_tool_may_be_awaited_and_is_called_again_where_it_fails(
    retries: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    name = f"shaky_tool_{retries}"
    (tmp_path / f"{name}.py").write_text(
        'calls = []\n\nasync def count():\n    """Count."""\n    calls.append(1)\n'
        "    if len(calls) < 3:\n        raise OSError('away')\n    return len(calls)\n"
    )
    node = {
        "predecessors": ["question"],
        "forward": {"tools": {"count": {"_target_": f"{name}.count"}}},
        "retries": retries,
    }
    conf = {"name": "g", "inputs": ["question"], "nodes": {"answer": node}, "output": "answer"}
    graph = build_graph(expand_graph(conf), PROMPTS)
    passed, _ = run(graph, json.dumps({"tool": "count"}), answer("done"))
    assert passed.transcripts["answer"].startswith(f"count()\n{said}")


def test_plan_and_check_count_every_call_there_may_be() -> None:
    raw = dict(compose(["tracking=none", "method.lazy=false", "method.confirm=null"]))
    conf = json.dumps(compose(["graph=tooled"])["graph"]).replace('"question"', '"order"')
    ready = prepare({**raw, "graph": json.loads(conf)}, PROMPTS, {})
    sums = step_estimate(ready.problem, ready.method).sums
    assert sums[0].endswith("100 examples x (2 nodes + 3 more samples) = 500 calls")
    assert rehearsed(ready).troubles == ()


def test_simulated_models_call_none_and_answer() -> None:
    flow = sgdflow.load("graph=tooled", "llm.store.mode=off")
    passed = flow.run({"question": "What is 6 times 7?"})
    assert passed.failures == {}
    assert passed.values["answer"] == "42"


WHERE = "graph.nodes.answer.forward"
MISTAKES: dict[str, tuple[Mapping[str, Any], str]] = {
    "a function that is nowhere": (
        {"tools": {"x": {"_target_": "sgdflow.library.tools.calcluate"}}},
        f"{WHERE}.tools.x._target_: 'sgdflow.library.tools' has no 'calcluate'. "
        "Did you mean 'calculate'?",
    ),
    "a name of its own meaning": (
        {"tools": {"answer": {"_target_": "sgdflow.library.tools.calculate"}}},
        f"{WHERE}: tools: 'answer' cannot name a tool; use letters, digits and _.",
    ),
    "no call at all": (
        {"rounds": 0},
        f"{WHERE}.rounds: input should be greater than or equal to 1 (got 0).",
    ),
    "fields": (
        {"reply": {"schema": {"x": "text"}}},
        f"{WHERE}: has tools, whose answer is a text; take out reply.schema (got ",
    ),
    "a vote": (
        {"samples": 3},
        f"{WHERE}: has tools and samples, which do not go together; choose one (got ",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_told(name: str) -> None:
    forward, told = MISTAKES[name]
    with pytest.raises(ConfigError) as refused:
        tooled(**forward)
    assert str(refused.value).startswith(told)


def test_a_tool_that_nobody_describes_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "silent_tool.py").write_text("def look(word):\n    return word\n")
    with pytest.raises(ConfigError) as refused:
        tooled(tools={"look": {"_target_": "silent_tool.look"}})
    assert (
        f"{WHERE}: tools.look: nobody says what silent_tool.look does. Give it a docstring, or the "
        "node a parameter 'look' that says it."
    ) in str(refused.value)
