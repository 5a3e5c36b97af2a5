"""What a critic is shown of how values came about."""

from __future__ import annotations

import asyncio
from pathlib import Path

from sgdflow.config.build import build_graph, build_method, expand_graph
from sgdflow.config.compose import compose
from sgdflow.config.paths import prompt_folders
from sgdflow.config.prepare import validated
from sgdflow.executor.backward import backward_pass
from sgdflow.executor.forward import forward_pass
from sgdflow.llm.scripted import ScriptedLLM
from sgdflow.prompting.templates import Prompts

PROMPTS = Prompts(prompt_folders(Path(__file__).parent))
CONF = {
    "name": "two",
    "inputs": ["question"],
    "nodes": {
        "notes": {"predecessors": ["question"], "parameters": {"instruction": "List them."}},
        "answer": {
            "predecessors": ["question", "notes"],
            "parameters": {"instruction": "Add them up."},
        },
    },
    "output": "answer",
}


def asked(notes: str, answer: str, *words: str) -> str:
    """Return what the critic is asked about the answer, after these two replies."""
    graph = build_graph(expand_graph(CONF), PROMPTS)
    method = build_method(validated(compose([*words])).method, graph, PROMPTS)
    llm = ScriptedLLM(
        {"forward": [notes, answer], "backward": ["<gradient name='notes'>CHANGE: x.</gradient>"]}
    )

    async def use() -> str:
        parameters = graph.initial()
        passed = await forward_pass(graph, parameters, "e", {"question": "a, b and c?"}, llm)
        how = method.differentiation
        assert how is not None
        await backward_pass(graph, parameters, passed, "It is 3.", [*parameters], how, llm)
        return llm.requests[-1].messages[-1].content

    return asyncio.run(use())


def test_a_critic_sees_how_the_values_came_about() -> None:
    """A bare total does not show where a count went wrong, whoever made it."""
    said = asked(
        "Reasoning: a is 1, b is 2\n<output>2</output>", "The notes say 2. <output>2</output>"
    )
    assert '<reasoning name="notes">\nReasoning: a is 1, b is 2\n</reasoning>' in said
    assert "<reasoning>\nThe notes say 2.\n</reasoning>\n<output>\n2\n</output>" in said
    assert said.index('name="notes">\n2') < said.index('<reasoning name="notes">')


def test_who_wrote_no_reasoning_is_shown_with_none() -> None:
    assert "reasoning>" not in asked("<output>2</output>", "<output>2</output>")


def test_a_long_reasoning_is_shortened() -> None:
    said = asked(f"{'so ' * 2000}\n<output>2</output>", "<output>2</output>")
    assert "characters left out" in said
    assert len(said) < 5000


def test_neighbors_that_are_hidden_hide_how_they_came_about() -> None:
    """One call for each predecessor, without the others."""
    words = ["method=no_neighbors"]
    said = asked("Reasoning: one, two\n<output>2</output>", "<output>2</output>", *words)
    assert "one, two" in said  # the one that it is about
