"""The system message as a parameter: declared in YAML alone, optimised like any other text."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from sgdflow.config.build import build_graph, expand_graph
from sgdflow.config.compose import compose
from sgdflow.config.paths import prompt_folders
from sgdflow.config.prepare import prepare
from sgdflow.errors import ConfigError
from sgdflow.executor.forward import PromptForward, forward_pass
from sgdflow.llm import Message
from sgdflow.llm.scripted import Said, ScriptedLLM
from sgdflow.prompting.templates import Prompts
from sgdflow.records import RunFolder
from sgdflow.runs.run import optimise
from sgdflow.tracking import NullTracker

PROMPTS = Prompts(prompt_folders(Path("nowhere")))
KIND = "You answer for a parcel office. You begin with thanks for the letter."


def team(role: str, node: str, messages: Sequence[Message]) -> Said:
    """An answer that is right once the system message asks for thanks."""
    if role == "forward":
        thanks = "begin with thanks" in messages[0].content
        return f"<output>{'yes' if thanks and node == 'answer' else 'no'}</output>"
    if role == "backward":
        return '<gradient name="facts">Name the weight of it.</gradient>'
    if node == "house":
        refused = "it lacks what has to stay" in messages[-1].content
        return f"<improved>{KIND if refused else 'You thank everybody.'}</improved>"
    return "<improved>Say in one sentence what the letter itself leaves open.</improved>"


def test_gradients_reach_a_shared_system_message_from_both_nodes(tmp_path: Path) -> None:
    words = ["graph=voiced", "task=table", f"task.path={tmp_path}/t.csv", "tracking=none"]
    words += ["task.inputs=[question]", "task.target=a", "task.score=text", "method.stop.steps=1"]
    words += ["task.splits={train: 4, validation: 0, test: null}"]
    rows = "".join(f"Where is parcel {n}?,yes\n" for n in range(8))
    (tmp_path / "t.csv").write_text(f"question,a\n{rows}")
    config = compose(words)
    ready = prepare(config, PROMPTS, {})
    assert ready.problem.optimised == ("house", "facts.instruction", "answer.instruction")
    llm, folder = ScriptedLLM(team), RunFolder(tmp_path / "run")
    result = asyncio.run(optimise(ready, config, llm, NullTracker(), folder))
    assert result["accepted"] == 1
    learned = yaml.safe_load((tmp_path / "run/parameters.yaml").read_text())
    assert learned["house"] == KIND
    first, again, *_ = [one.messages for one in llm.requests if one.node == "house"]
    said = "\n".join(one.content for one in first)
    # What the answer asks of its predecessor, and what the loss says of the answer.
    assert "Name the weight of it." in said
    assert "The expected answer is: yes" in said
    assert "It is the system message: who the model is" in said
    assert "Use at most 120 tokens, about 480 characters." in said
    assert 'it lacks what has to stay, letter by letter: "parcel office"' in again[-1].content
    # It is sent as what it is, and stands nowhere else.
    asked = [one.messages for one in llm.requests if one.role == "forward"]
    assert {messages[0].role for messages in asked} == {"system"}
    assert {messages[0].content for messages in asked} == {"You answer for a parcel office.", KIND}
    assert all("parcel office" not in messages[1].content for messages in asked)


def one_node(parameters: dict[str, Any], forward: Any = None) -> dict[str, Any]:
    node = {"predecessors": ["question"], "parameters": parameters, "forward": forward}
    return {"name": "g", "inputs": ["question"], "nodes": {"answer": node}, "output": "answer"}


def test_it_may_be_the_only_parameter() -> None:
    graph = build_graph(expand_graph(one_node({"system": "You add."})), PROMPTS)
    llm = ScriptedLLM(team)
    asyncio.run(forward_pass(graph, graph.initial(), "1", {"question": "1 + 1"}, llm))
    system, user = llm.requests[0].messages
    assert system.content == "You add."
    assert user.content.startswith("# Given")


def test_a_template_that_never_shows_it_is_told(tmp_path: Path) -> None:
    (tmp_path / "bare.jinja").write_text("{{ parameters.instruction }} {{ predecessors }}")
    declared = one_node({"system": "You add.", "instruction": "Add."}, {"prompt": "bare.jinja"})
    graph = build_graph(expand_graph(declared), Prompts((tmp_path, *PROMPTS.folders)))
    forward = graph.nodes["answer"].forward
    assert isinstance(forward, PromptForward)
    assert forward.unshown(graph.nodes["answer"]) == ["system"]


WHERE = "graph.nodes.answer.parameters.system"


@pytest.mark.parametrize(
    ("conf", "line"),
    [
        (
            one_node({"system": {"value": 3, "min": 1, "max": 5}}),
            f"{WHERE}: the system message is a text: system: You answer letters.",
        ),
        (
            one_node({"system": {"demonstrations": 3}}),
            f"{WHERE}: the system message is a text: system: You answer letters.",
        ),
        (
            one_node({"system": "You add."}, {"system": "You subtract."}),
            f"{WHERE}: graph.nodes.answer.forward.system says another system message, which is "
            "not sent. Take one of them out.",
        ),
        (
            one_node({"system": "You add."}, {"_target_": "sgdflow.library.tools.first"}),
            "graph g: nodes.answer.parameters: 'system' cannot name a parameter: it is reserved "
            "for templates.",
        ),
    ],
)
def test_what_is_no_system_message_is_told(conf: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError) as refused:
        build_graph(expand_graph(conf), PROMPTS)
    assert str(refused.value).split("\n")[0] == line
