"""What a critic is shown of how values came about."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sgdflow.config.build import build_graph, build_method, expand_graph
from sgdflow.config.compose import compose
from sgdflow.config.paths import prompt_folders
from sgdflow.config.prepare import validated
from sgdflow.executor.backward import backward_pass
from sgdflow.executor.forward import forward_pass
from sgdflow.llm import Message
from sgdflow.llm.scripted import ScriptedLLM
from sgdflow.prompting.replies import ReplyFormat
from sgdflow.prompting.templates import Prompts
from sgdflow.simulation.asking import split

PROMPTS = Prompts(prompt_folders(Path(__file__).parent))


def asked(replies: Mapping[str, str], *words: str, notes: Mapping[str, Any] | None = None) -> str:
    """Return all that critics are asked of an answer that was made of notes and a check of them."""
    told = {"predecessors": ["question"], "parameters": {"instruction": "List them."}}
    nodes = {
        "notes": told | dict(notes or {}),
        "check": told,
        "answer": {
            "predecessors": ["notes", "check"],
            "parameters": {"instruction": "Add them up."},
        },
    }
    conf = {"name": "team", "inputs": ["question"], "nodes": nodes, "output": "answer"}
    graph = build_graph(expand_graph(conf), PROMPTS)
    method = build_method(validated(compose([*words])).method, graph, PROMPTS)

    def reply(role: str, node: str, messages: Sequence[Message]) -> str:
        if role != "backward":
            return replies[node]
        names = [
            name for name in ("notes", "check") if f'<gradient name="{name}">' in prompt(messages)
        ]
        texts = (f'<gradient name="{name}">CHANGE: x.</gradient>' for name in names)
        return "".join(texts) or "<gradient>CHANGE: x.</gradient>"

    def prompt(messages: Sequence[Message]) -> str:
        return messages[-1].content

    llm = ScriptedLLM(reply)

    async def use() -> str:
        parameters = graph.initial()
        passed = await forward_pass(graph, parameters, "e", {"question": "a, b and c?"}, llm)
        how = method.differentiation
        assert how is not None
        llm.requests.clear()
        await backward_pass(graph, parameters, passed, "It is 3.", [*parameters], how, llm)
        return "\n=====\n".join(prompt(one.messages) for one in llm.requests)

    return asyncio.run(use())


REPLIES = {
    "notes": "Reasoning: a is 1, b is 2\n<output>2</output>",
    "check": "Reasoning: c was left out\n<output>3</output>",
    "answer": "The notes say 2. <output>2</output>",
}
NOTES = '<reasoning name="notes">\nReasoning: a is 1, b is 2\n</reasoning>'
CHECK = '<reasoning name="check">\nReasoning: c was left out\n</reasoning>'


def test_a_critic_sees_how_the_values_came_about() -> None:
    """A bare total does not show where a count went wrong, whoever made it."""
    said = asked(REPLIES)
    assert NOTES in said
    assert CHECK in said
    assert "<reasoning>\nThe notes say 2.\n</reasoning>\nOutput: 2\n" in said
    assert said.index("`check`: ") < said.index(NOTES)


def test_neighbors_that_are_hidden_hide_how_they_came_about() -> None:
    """One call for each predecessor, without the others."""
    calls = asked(REPLIES, "method=no_neighbors").split("=====")
    assert [(NOTES in call, CHECK in call) for call in calls] == [(True, False), (False, True)]


def test_what_is_no_reasoning_is_not_shown_as_such() -> None:
    """A structured reply holds the values themselves, of which fields are shown one by one."""
    plain = {name: f"<output>{name}</output>" for name in REPLIES}
    assert "reasoning" not in asked(plain)
    bare = {name: f"Reasoning:\n<output>{name}</output>" for name in REPLIES}
    assert asked(bare) == asked(plain)
    form = {"forward": {"reply": {"format": "json"}}}
    assert '{"output"' not in asked({**plain, "notes": '{"output": "2"}'}, notes=form)


def test_reasoning_in_json_is_asked_for_and_shown_alike() -> None:
    """The object has a place for it, and the member that is given the output sees the output."""
    form = {"forward": {"reply": {"format": "json"}}}
    said = asked({**REPLIES, "notes": '{"reasoning": "a is 1, b is 2", "output": "2"}'}, notes=form)
    assert NOTES.replace("Reasoning: ", "") in said
    assert "`notes`: 2\n" in said
    assert '"output"' not in said
    for first in ("first", "none"):
        reply = ReplyFormat("json", reasoning=first)
        told = {"reply": reply.asking(), "asks_for": "your output"}
        form_asked = PROMPTS.text(reply.template, told).splitlines()[-1]
        room = '"reasoning": "...", ' if first == "first" else ""
        assert form_asked == f'{{{room}"output": "..."}}'
        assert reply.read(form_asked.replace("...", "2")) == {"": "2"}
        simulated = split(PROMPTS.text(reply.template, told))[1]
        assert reply.read(simulated.write({"": "2"})) == {"": "2"}


def test_a_long_reasoning_is_shortened() -> None:
    said = asked({**REPLIES, "notes": f"{'so ' * 2000}\n<output>2</output>"})
    assert "characters left out" in said
    assert len(said) < 6000
