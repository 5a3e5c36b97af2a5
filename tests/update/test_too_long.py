"""Writers whose prompt holds too much for them: all of it reaches them, as a summary of groups."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from simulated import Watch

from sgdflow.config.build import build_graph, expand_graph
from sgdflow.config.method_schema import MethodConf
from sgdflow.config.methods import build_method
from sgdflow.config.paths import prompt_folders
from sgdflow.data import Example, Splits
from sgdflow.descent import Descent, Step
from sgdflow.descent.method import Problem
from sgdflow.errors import CallFailed
from sgdflow.executor.functions import Function
from sgdflow.executor.scores import Score
from sgdflow.llm import Message
from sgdflow.llm.scripted import Said, Script, ScriptedLLM
from sgdflow.prompting.templates import Prompts
from sgdflow.records.run import step_record

PROMPTS = Prompts(prompt_folders(Path(__file__).parent))
GRAPH = """
name: small
inputs: [question]
nodes:
  hint: {predecessors: [question], parameters: {instruction: Give a hint.}}
  answer: {predecessors: [question, hint], parameters: {instruction: Answer.}}
output: answer
"""
SHOWN = re.compile(r"<(?:example|attempt)(?: [^>]*)?>")
NAMES = re.compile(r"\b(?:case|text)_\d+_")


def gain(output: str, target: str) -> float:
    """Return a little for each text that was written later."""
    return len(output) / 1000


def descend(script: Script, steps: int, **method: Any) -> tuple[Sequence[Step], ScriptedLLM]:
    graph = build_graph(expand_graph(yaml.safe_load(GRAPH)), PROMPTS)
    conf = {"name": "any", "backward": None, "stop": {"steps": steps}, **method}
    how = build_method(MethodConf.model_validate(conf), graph, PROMPTS)
    train = tuple(Example(str(i), {"question": f"case_{i}_"}, "right") for i in range(9))
    score = Score(Function(gain, "gain"))
    problem = Problem(graph, score, Splits(train, (), ()), ("hint.instruction",), 0)
    llm, watch = ScriptedLLM(script), Watch()
    asyncio.run(Descent(problem, how, llm, watch).run(graph.initial()))
    return watch.steps, llm


class Narrow:
    """A writer who reads so many pieces at once, and hands all names on in what it sums up."""

    def __init__(self, room: int) -> None:
        self.room, self.written, self.refused = room, 0, 0

    def __call__(self, role: str, node: str, messages: Sequence[Message]) -> Said:
        text = messages[-1].content
        if role == "forward":
            return f"<output>{'x' * (self.written + 1)}</output>"
        if len(SHOWN.findall(text)) > self.room:
            self.refused += 1
            return CallFailed("the prompt does not fit", "context_window")
        seen = " ".join(dict.fromkeys(NAMES.findall(text)))
        if "<summary>" in text and "sum up" in messages[0].content:
            return f"<summary>{seen}</summary>"
        self.written += 1
        new = f"text_{self.written}_ beside {seen}"
        return (
            f'{{"hint.instruction": "{new}"}}' if "JSON" in text else f"<improved>{new}</improved>"
        )


WHOLE: Mapping[str, Any] = {
    "sample": {"examples": "failing", "count": 9},
    "update": {"rule": "whole", "checks": False},
    "lazy": False,
}
SEARCH: Mapping[str, Any] = {
    "sample": {"examples": "random", "count": 0},
    "update": {"rule": "search", "breadth": 4, "depth": 2},
    "proposals": {"fallback": False},
    "lazy": False,
}


@pytest.mark.parametrize(("room", "groups"), [(9, 0), (3, 3), (2, 6)])
def test_runs_that_do_not_fit_are_summed_up_and_none_is_lost(room: int, groups: int) -> None:
    """Nine runs: three groups of three; with room for two each of these is halved."""
    (step,), llm = descend(narrow := Narrow(room), 1, **WHOLE)
    proposal = step.tried.proposal
    text = proposal.changes["hint.instruction"]
    assert set(NAMES.findall(text)) == {"text_1_", *(f"case_{i}_" for i in range(9))}
    asked = [request for request in llm.requests if request.role == "optimizer"]
    summing = [r for r in asked if SHOWN.search(r.messages[-1].content)]
    assert len(summing) - narrow.refused == max(groups, 1 - bool(groups))
    assert narrow.refused == {9: 0, 3: 1, 2: 1 + 3}[room]
    assert len(proposal.calls["graph"]) == len(asked)
    told = step_record(step).get("summaries", {})
    assert {name: one["of"] for name, one in told.items()} == (
        {"hint.instruction": 9} if groups else {}
    )


def test_texts_that_were_tried_and_do_not_fit_are_summed_up_once_for_all_writers() -> None:
    (_, step), llm = descend(narrow := Narrow(3), 2, **SEARCH)
    proposal = step.tried.proposal
    assert proposal.summaries["hint.instruction"].of == 4
    later = [one.changes["hint.instruction"] for one in proposal.tried]
    assert len(later) == 4
    for text in later:
        assert {f"text_{i}_" for i in range(1, 5)} <= set(NAMES.findall(text))
    asked = [request for request in llm.requests if request.role == "optimizer"]
    assert narrow.refused == 4
    assert len(asked) == 4 + 4 + 3 + 4  # written, in vain, two groups and their sum, written


@pytest.mark.parametrize("method", [WHOLE, SEARCH])
def test_what_fits_in_no_form_is_skipped_with_the_reason(method: Mapping[str, Any]) -> None:
    steps, _ = descend(Narrow(0), 2, **method)
    last = steps[-1].tried.proposal
    assert not last.changes
    assert set(last.skipped.values()) == {"summary: the prompt does not fit"}
