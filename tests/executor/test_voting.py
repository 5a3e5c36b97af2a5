"""Several replies and a vote; code that may take so long, and is called again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from sgdflow.config.build import build_graph, expand_graph
from sgdflow.config.compose import compose
from sgdflow.config.paths import prompt_folders
from sgdflow.config.prepare import prepare
from sgdflow.errors import CallFailed, ConfigError
from sgdflow.executor.backward import Differentiation, backward_pass
from sgdflow.executor.backward_functions import PromptBackward
from sgdflow.executor.forward import ForwardPass, forward_pass
from sgdflow.llm import Message
from sgdflow.llm.scripted import Said, ScriptedLLM
from sgdflow.plan.estimate import step_estimate
from sgdflow.prompting.ask import Ask
from sgdflow.prompting.replies import ReplyFormat
from sgdflow.prompting.templates import Prompts

PROMPTS = Prompts(prompt_folders(Path("nowhere")))


def graph_of(**answer: Any) -> dict[str, Any]:
    nodes = {
        "hint": {"predecessors": ["question"], "parameters": {"instruction": "Hint."}},
        "answer": {"predecessors": ["question", "hint"], **answer},
    }
    return {"name": "g", "inputs": ["question"], "nodes": nodes, "output": "answer"}


def forward(conf: Mapping[str, Any], *replies: Said) -> tuple[ForwardPass, ScriptedLLM]:
    graph = build_graph(expand_graph(conf), PROMPTS)
    told = iter(replies)

    def script(role: str, node: str, messages: Sequence[Message]) -> Said:
        return "<output>h</output>" if node == "hint" else next(told)

    llm = ScriptedLLM(script)
    made = forward_pass(graph, graph.initial(), "one", {"question": "Q?"}, llm)
    return asyncio.run(made), llm


@pytest.mark.parametrize(
    ("replies", "value"),
    [
        (("A", "B", "b."), "B"),
        (("A", "B", "C"), "A"),
        (("B", CallFailed("no", "connection"), "A"), "B"),
        ((CallFailed("no", "connection"), "C", CallFailed("no", "connection")), "C"),
    ],
)
def test_what_most_replies_say_is_the_value(replies: Sequence[Said], value: str) -> None:
    said = [f"<output>{one}</output>" if isinstance(one, str) else one for one in replies]
    passed, llm = forward(graph_of(forward={"samples": 3}), *said)
    assert passed.values["answer"] == value
    calls = passed.calls["answer"]
    assert len(calls) == 3
    assert calls[-1].reply == f"<output>{value}</output>"
    samples = [one.sample for one in llm.requests if one.node == "answer"]
    assert sorted(samples) == [0, 1, 2]


def test_values_with_fields_are_counted_as_a_whole() -> None:
    reply = {"schema": {"a": "integer", "b": "integer"}}
    replies = ['{"a": 1, "b": 2}', '{"a": 3, "b": 2}', '{"b": 2, "a": 3}']
    passed, _ = forward(graph_of(forward={"samples": 3, "reply": reply}), *replies)
    assert passed.values["answer"] == {"a": 3, "b": 2}


def test_where_no_reply_can_be_used_the_node_fails_with_all_calls() -> None:
    error = CallFailed("nobody answers", "connection")
    passed, _ = forward(graph_of(forward={"samples": 2}), error, error)
    failure = passed.failures["answer"]
    assert (failure.kind, len(failure.calls)) == ("connection", 2)


def test_gradients_go_through_a_vote_as_through_any_node() -> None:
    conf = graph_of(forward={"samples": 3}, parameters={"instruction": "Answer."})
    passed, _ = forward(conf, *["<output>x</output>"] * 3)
    graph = build_graph(expand_graph(conf), PROMPTS)
    ask = Ask(PROMPTS, "backward/joint.jinja", "backward", ReplyFormat("tagged", "gradient"))
    llm = ScriptedLLM({"backward": ['<gradient name="hint">Say more.</gradient>']})
    how = Differentiation(PromptBackward(ask))
    names = graph.optimisable
    back = asyncio.run(backward_pass(graph, graph.initial(), passed, "Wrong.", names, how, llm))
    assert [one.value for one in back.gradients["hint"]] == ["Say more."]
    assert [one.value for one in back.gradients["answer"]] == ["Wrong."]


def test_a_vote_is_planned_and_said_where_it_means_nothing() -> None:
    words = ["graph=voted", "tracking=none", "method.lazy=false", "method.confirm=null"]
    raw = dict(compose(words))
    raw["graph"] = {**raw["graph"], "inputs": ["order"]}
    nodes = raw["graph"]["nodes"]
    raw["graph"]["nodes"] = {
        name: {**node, "predecessors": ["order", *node["predecessors"][1:]]}
        for name, node in nodes.items()
    }
    prepared = prepare(raw, PROMPTS, {})
    [notice] = [one.text for one in prepared.notices if "samples" in one.text]
    assert notice == (
        "graph.nodes.answer.forward.samples: 5 replies at temperature 0 hardly differ "
        "(llm.models.forward.parameters.temperature)."
    )
    sums = step_estimate(prepared.problem, prepared.method).sums
    assert sums[0].endswith("100 examples x (2 nodes + 4 more samples) = 600 calls")


# Code.


def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, **bounds: Any) -> ForwardPass:
    monkeypatch.syspath_prepend(tmp_path)
    name = f"own_{abs(hash((text, str(tmp_path))))}"
    (tmp_path / f"{name}.py").write_text(text)
    return forward(graph_of(forward={"_target_": f"{name}.tool"}, **bounds))[0]


SLOW = [
    "import time\n\ndef tool(question, hint):\n    time.sleep(60)\n",
    "import asyncio\n\nasync def tool(question, hint):\n    await asyncio.sleep(60)\n",
]


@pytest.mark.parametrize("text", SLOW)
def test_code_that_takes_too_long_fails_its_node_and_nobody_waits(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = time.monotonic()
    passed = code(tmp_path, monkeypatch, text, timeout=0.2)
    assert passed.failures["answer"].reason.endswith(
        "tool raised TimeoutError: it took longer than 0.2 s"
    )
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("kind", ["def", "async def"])
@pytest.mark.parametrize(("retries", "works"), [(2, True), (1, False)])
def test_code_that_fails_is_called_again(
    kind: str, retries: int, works: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (
        "calls = []\n\n"
        f"{kind} tool(question, hint):\n"
        "    calls.append(1)\n"
        "    if len(calls) < 3:\n"
        "        raise OSError('away')\n"
        f"    return 'x{kind}{retries}'\n"
    )
    passed = code(tmp_path, monkeypatch, text, retries=retries, timeout=60)
    if works:
        assert passed.values["answer"] == f"x{kind}{retries}"
    else:
        assert (
            passed.failures["answer"]
            .reason.partition(" (")[0]
            .endswith("tool raised OSError: away")
        )


HINT = "<output>h</output>"
CROWD = """
import {library}

here, most = 0, 0

{kind} tool(question, hint):
    global here, most
    here += 1
    most = max(most, here)
    {wait}(0.05)
    here -= 1
    return str(most)
"""


@pytest.mark.parametrize(
    ("kind", "library", "wait"),
    [("def", "time", "time.sleep"), ("async def", "asyncio", "await asyncio.sleep")],
)
@pytest.mark.parametrize("most", [1, 2])
def test_code_runs_so_many_times_at_once(
    kind: str, library: str, wait: str, most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight examples want it at the same time; without a bound all of them would have it."""
    monkeypatch.syspath_prepend(tmp_path)
    name = f"crowd_{library}_{most}"
    (tmp_path / f"{name}.py").write_text(CROWD.format(kind=kind, library=library, wait=wait))
    conf = graph_of(forward={"_target_": f"{name}.tool"}, at_once=most)
    graph, llm = (
        build_graph(expand_graph(conf), PROMPTS),
        ScriptedLLM(lambda *_: "<output>h</output>"),
    )

    async def all_of_them() -> list[ForwardPass]:
        start = graph.initial()
        runs = (forward_pass(graph, start, str(n), {"question": "Q?"}, llm) for n in range(8))
        return list(await asyncio.gather(*runs))

    passed = asyncio.run(all_of_them())
    assert max(int(one.values["answer"]) for one in passed) == most


@pytest.mark.parametrize(
    ("bound", "told"),
    [
        ({"timeout": 0}, "timeout: input should be greater than 0 (got 0)."),
        ({"retries": -1}, "retries: input should be greater than or equal to 0 (got -1)."),
        ({"at_once": 0}, "at_once: input should be greater than or equal to 1 (got 0)."),
    ],
)
def test_what_is_no_bound_is_told(bound: Mapping[str, Any], told: str) -> None:
    with pytest.raises(ConfigError) as refused:
        expand_graph(graph_of(forward={"_target_": "json.dumps"}, **bound))
    assert str(refused.value) == f"graph.nodes.answer.{told}"


@pytest.mark.parametrize("key", ["timeout", "retries"])
def test_bounds_of_code_are_refused_for_models(key: str) -> None:
    with pytest.raises(ConfigError) as refused:
        expand_graph(graph_of(**{key: 2}))
    assert str(refused.value).startswith(
        f"graph.nodes.answer: {key} is that of a Python callable (forward._target_); calls of "
        f"models have llm.limits.{key}"
    )


def test_a_number_of_samples_has_bounds() -> None:
    with pytest.raises(ConfigError, match=r"graph\.nodes\.answer\.forward\.samples: input should"):
        expand_graph(graph_of(forward={"samples": 0}))
