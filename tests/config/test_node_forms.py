"""Mistakes in branches, loops and maps that a new user makes: one message each, before any call."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from sgdflow.config.build import build_graph, expand_graph
from sgdflow.config.compose import compose
from sgdflow.config.paths import prompt_folders
from sgdflow.config.prepare import prepare
from sgdflow.errors import ConfigError
from sgdflow.prompting.templates import Prompts

PROMPTS = Prompts(prompt_folders(Path("nowhere")))
GRAPH = """
name: own
inputs: [question]
nodes:
  triage:
    predecessors: [question]
    forward: {reply: {schema: {department: [billing, technical], parts: "text[]", note: text}}}
  draft:
    predecessors: [question, triage.department, triage.parts, triage.note]
  middle:
    predecessors: [draft, triage, triage.parts, triage.department]
  answer:
    predecessors: [middle, draft]
output: answer
"""
MIDDLE = "graph.nodes.middle"
YAML = " YAML reads yes, no, on and off as true and false: write such a word in quotes."
MISTAKES: dict[str, tuple[str, str]] = {
    "a word that YAML takes for true": (
        "when: {triage.department: yes}",
        f"{MIDDLE}.when: 'triage.department' is never 'True'. It is one of billing, technical."
        + YAML,
    ),
    "the same of a text": (
        "when: {draft: no}",
        f"{MIDDLE}.when: 'draft' is a text, and never true or false." + YAML,
    ),
    "a value that has fields": (
        "when: {triage: billing}",
        f"{MIDDLE}.when: 'triage' is a mapping, and never 'billing'. Name a field of it: "
        "triage.department, triage.parts, triage.note.",
    ),
    "a list as a value": (
        "when: {not: {triage.parts: wheel}}",
        f"{MIDDLE}.when: 'triage.parts' is a list, and never 'wheel'. A function can look into it: "
        "when: {_target_: MODULE.FUNCTION}.",
    ),
    "a function by its name": (
        "when: is_long",
        f"{MIDDLE}.when: should name predecessors and the values that they have; such as "
        "{triage.department: billing}, {language: [de, fr]}, {not: {language: en}}, or "
        "{_target_: MODULE.FUNCTION} (got 'is_long').",
    ),
    "a condition that stands below forward": (
        "forward: {when: {draft: a}}",
        f"{MIDDLE}.forward.when: there is no such key. It stands one place further up: "
        f"{MIDDLE}.when.",
    ),
    "a loop that is a number": (
        "repeat: 3",
        f"{MIDDLE}.repeat: should be a mapping, such as {{times: 3, instead_of: draft}} (got 3).",
    ),
    "a loop below forward": (
        "forward: {repeat: {times: 3, instead_of: draft}}",
        f"{MIDDLE}.forward.repeat: there is no such key. It stands one place further up: "
        f"{MIDDLE}.repeat.",
    ),
    "a map that does not stand below forward": (
        "each: triage.parts",
        f"{MIDDLE}.each: there is no such key. It stands below forward: {MIDDLE}.forward.each.",
    ),
    "a map over a mapping": (
        "forward: {each: triage}",
        f"{MIDDLE}.forward.each: 'triage' is a mapping, no list to go through. It has: "
        "triage.parts.",
    ),
    "a map over a word": (
        "forward: {each: triage.department}",
        f"{MIDDLE}.forward.each: 'triage.department' is a text, no list to go through. A node "
        'answers with a list where its schema says so: {parts: "text[]"}.',
    ),
    "a map over a text": (
        "forward: {each: draft}",
        f"{MIDDLE}.forward.each: 'draft' is a text, no list to go through. A node answers with a "
        'list where its schema says so: {parts: "text[]"}.',
    ),
}


def conf_of(middle: str, answer: str = "predecessors: [middle, draft]") -> Mapping[str, Any]:
    conf = yaml.safe_load(GRAPH)
    conf["nodes"]["middle"] |= yaml.safe_load(middle)
    conf["nodes"]["answer"] |= yaml.safe_load(answer)
    for node in conf["nodes"].values():
        node["parameters"] = {"instruction": "Do it."}
    found: Mapping[str, Any] = conf
    return found


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_told(name: str) -> None:
    middle, said = MISTAKES[name]
    with pytest.raises(ConfigError) as refused:
        build_graph(expand_graph(conf_of(middle)), PROMPTS)
    assert str(refused.value) == said


def test_fields_of_the_items_of_a_map_are_no_fields_of_its_value() -> None:
    conf = conf_of(
        "forward: {each: triage.parts, reply: {schema: {price: number}}}",
        "predecessors: [middle.price, draft]",
    )
    with pytest.raises(ConfigError) as refused:
        build_graph(expand_graph(conf), PROMPTS)
    assert str(refused.value) == (
        "graph.nodes.answer.predecessors: 'middle' is a list, and its items have the fields. Name "
        "'middle', and go through it in the template: "
        "{% for one in middle %}{{ one.price }}{% endfor %}."
    )


def test_what_nobody_can_tell_beforehand_is_taken() -> None:
    """Values of inputs and code; a boolean field; lists of schemas."""
    for middle in (
        "when: {triage.department: Billing}",
        "when: {draft: 'yes'}",
        "forward: {each: triage.parts}",
    ):
        build_graph(expand_graph(conf_of(middle)), PROMPTS)


def test_an_input_that_is_to_be_gone_through_is_a_list_in_every_example(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("question,a\n" + "".join(f"q{n},1\n" for n in range(9)))
    words = [f"task.path={tmp_path}/t.csv", "task.inputs=[question]", "task.target=a"]
    words += ["task=table", "task.splits={train: 4, validation: 2, test: null}", "tracking=none"]
    node = {"predecessors": ["question"], "parameters": {"i": "Do it."}}
    nodes = {"n": {**node, "forward": {"each": "question"}}}
    graph = {"name": "g", "inputs": ["question"], "nodes": nodes, "output": "n"}
    with pytest.raises(ConfigError) as refused:
        prepare({**compose(words), "graph": graph}, PROMPTS, None)
    lines = str(refused.value).splitlines()
    assert lines[0].endswith(", no list to go through (graph.nodes.n.forward).")
    assert lines[0].startswith("task.data: ")
    assert lines[-1] == "and 6 more examples for 'question'."
