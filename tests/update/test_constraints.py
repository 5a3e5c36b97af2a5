"""What is declared of a parameter's texts: told to the writer, checked before any is scored."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from sgdflow.config.build import build_graph, expand_graph
from sgdflow.config.compose import compose
from sgdflow.config.paths import prompt_folders
from sgdflow.config.prepare import prepare
from sgdflow.data import Example
from sgdflow.errors import ConfigError, NoResult, ReplyError
from sgdflow.executor.constraints import Constraints
from sgdflow.executor.forward import ForwardPass
from sgdflow.executor.outcomes import Evaluation, Outcome
from sgdflow.llm import Message
from sgdflow.llm.scripted import Said, ScriptedLLM
from sgdflow.prompting.templates import Prompts
from sgdflow.records import RunFolder
from sgdflow.records.source import read_steps
from sgdflow.runs.run import optimise
from sgdflow.tracking import NullTracker
from sgdflow.update import Proposal, Situation
from sgdflow.update.constraints import check, kept, told

PROMPTS = Prompts(prompt_folders(Path("nowhere")))
ALL = Constraints(
    about="The tone of letters.",
    max_characters=80,
    max_tokens=19,
    keep=("In English.",),
    avoid=("guarantee",),
    placeholders=("company",),
    leak=4,
)
GOOD = "In English. Write for {company}."
SEEN = ["Where is my blue parcel from Leeds?", "It left the depot on Monday"]


def test_a_writer_is_told_all_of_them() -> None:
    assert told(ALL) == [
        "What the text is for: The tone of letters.",
        "Use at most 80 characters.",
        "Use at most 19 tokens, about 76 characters.",
        'Keep this, letter by letter: "In English."',
        "Keep these placeholders, in which values are put: {company}",
        'Do not write "guarantee".',
        "Copy no words out of a query or an answer.",
    ]
    assert told(Constraints()) == []


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (GOOD + "x" * 80, "it has 112 characters; at most 80 may be used"),
        (
            GOOD + "x" * 45,
            "it has about 20 tokens (77 characters); at most 19 may be used, which is 76 "
            "characters",
        ),
        (GOOD.replace("English", "english"), "it lacks what has to stay, letter by letter"),
        (GOOD.replace("{company}", "company"), "it lacks the placeholder {company}"),
        (GOOD + " No Guarantees.", 'it holds "guarantee", which it may not'),
        (GOOD + " My BLUE parcel, from Leeds!", 'it copies "my blue parcel from" from an example'),
        (GOOD + " It left the depot.", 'it copies "it left the depot" from an example'),
    ],
)
def test_a_text_that_breaks_one_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(ReplyError) as refused:
        check(ALL, text, "", SEEN)
    assert str(refused.value).startswith(why)


def test_a_text_that_keeps_to_all_is_taken_and_what_stood_there_may_stay() -> None:
    check(ALL, GOOD, "", SEEN)
    check(ALL, GOOD + "x" * 44, "", SEEN)
    check(ALL, GOOD.replace("{company}", "{ company }"), "", SEEN)
    check(ALL, GOOD + " It left the depot.", "It left the depot.", SEEN)
    check(ALL, GOOD + " The depot it left.", "", SEEN)


def graph_of(parameter: Any, **shared: Any) -> dict[str, Any]:
    nodes = {"answer": {"predecessors": ["question"], "parameters": {"instruction": parameter}}}
    return {
        "name": "g",
        "inputs": ["question"],
        "nodes": nodes,
        "output": "answer",
        "parameters": shared,
    }


WHERE = "graph.nodes.answer.parameters.instruction"


@pytest.mark.parametrize(
    ("conf", "line"),
    [
        (
            graph_of({"value": "Answer.", "keep": ["In English."]}),
            f"{WHERE}: its own text breaks what is declared of it: it lacks what has to stay, "
            'letter by letter: "In English.".',
        ),
        (
            graph_of({"value": 3, "max_characters": 5}),
            f"{WHERE}: is a number, of which max_characters means nothing "
            "(got {'value': 3, 'max_characters': 5}).",
        ),
        (
            graph_of({"value": "Answer in one word.", "max_tokens": 4}),
            f"{WHERE}: its own text breaks what is declared of it: it has about 5 tokens (19 "
            "characters); at most 4 may be used, which is 16 characters.",
        ),
        (
            graph_of({"value": "Answer.", "max_tokens": 0}),
            f"{WHERE}.max_tokens: input should be greater than or equal to 1 (got 0).",
        ),
        (
            graph_of({"shared": "tone", "avoid": ["x"]}, tone="Be brief."),
            f"{WHERE}: is shared; declare avoid of graph.parameters.tone "
            "(got {'shared': 'tone', 'avoid': ['x']}).",
        ),
        (
            graph_of({"value": "Answer.", "leak": 1}),
            f"{WHERE}.leak: input should be greater than or equal to 2 (got 1).",
        ),
        (
            graph_of({"value": "Answer.", "placeholder": ["x"]}),
            f"{WHERE}.placeholder: there is no such key. Did you mean 'placeholders'?",
        ),
    ],
)
def test_what_cannot_be_declared_is_told_with_its_key(conf: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError) as refused:
        build_graph(expand_graph(conf), PROMPTS)
    assert str(refused.value).split("\n")[0] == line


RULED = {
    "value": "Answer in one word.",
    "about": "How answers are given.",
    "avoid": ["sorry"],
    "keep": ["one word"],
}


@pytest.mark.parametrize("method", ["semantic", "optoprime", "copro"])
def test_the_writer_gets_the_reason_and_what_is_broken_to_the_end_is_skipped_and_recorded(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two texts one is mended after it was told why; the other never, and is not scored."""
    asked: list[str] = []

    def writer(role: str, node: str, messages: Sequence[Message]) -> Said:
        if role == "forward":
            assert "sorry" not in messages[-1].content
            return "<output>x</output>"
        if role == "backward":
            return '<gradient name="hint">Begin with the first step of it.</gradient>'
        asked.append(messages[-1].content)
        if method == "optoprime":
            return '{"reasoning": "r", "answer.instruction": "Say sorry, in one word."}'
        if "hint" in node:
            return "<improved>Give a hint of the first step.</improved>"
        return "<improved>Say sorry, in one word.</improved>"

    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_text("question,a\nWho?,y\nWhere?,y\n")
    raw = dict(
        compose(
            [
                f"method={method}",
                "graph=single",
                "task=table",
                "task.path=t.csv",
                "task.inputs=[question]",
                "task.target=a",
                "task.splits={train: 1, validation: 0, test: 1}",
                "tracking=none",
                "method.stop.steps=1",
            ]
        )
    )
    raw["graph"] = {
        **graph_of(RULED),
        "nodes": {
            "hint": {"predecessors": ["question"], "parameters": {"instruction": "Give a hint."}},
            "answer": {
                "predecessors": ["question", "hint"],
                "parameters": {"instruction": RULED},
            },
        },
    }
    if method == "copro":  # it begins with the first parameter that may change
        raw["method"] = {**raw["method"]}
        raw["method"]["update"] = {**raw["method"]["update"], "parameters": ["answer.instruction"]}
    prepared = prepare(raw, PROMPTS, {})
    folder = RunFolder(tmp_path / "run")
    # Of one that writes both, the other text is a result.
    with nullcontext() if method == "semantic" else pytest.raises(NoResult):
        asyncio.run(optimise(prepared, raw, ScriptedLLM(writer), NullTracker(), folder))
    [step] = read_steps(folder.path / "steps.jsonl")
    assert 'it holds "sorry", which it may not' in step["skipped"]["answer.instruction"]
    assert "answer.instruction" not in step["proposal"]
    assert any('could not be used: it holds "sorry"' in text for text in asked)
    first = next(text for text in asked if 'name="answer.instruction"' in text)
    assert 'Keep this, letter by letter: "one word"' in first
    assert "How answers are given." in first
    if method == "semantic":
        assert step["proposal"] == {"hint.instruction": "Give a hint of the first step."}


def test_own_update_rules_are_held_to_them_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    Path("own_rule.py").write_text(
        "def rule(situation, llm):\n    return {'answer.instruction': 'No.'}\n"
    )
    Path("t.csv").write_text("question,a\nWho?,y\nWhere?,y\n")
    words = ["graph=single", "task=table", "task.path=t.csv", "task.inputs=[question]"]
    words += ["task.target=a", "task.splits={train: 1, validation: 0, test: 1}", "tracking=none"]
    raw = dict(compose([*words, "method.stop.steps=1"]))
    raw["graph"] = graph_of(RULED)
    raw["method"] = {**raw["method"], "update": {"_target_": "own_rule.rule"}}

    def team(role: str, node: str, messages: Sequence[Message]) -> Said:
        return "<output>x</output>"

    prepared = prepare(raw, PROMPTS, {})
    folder = RunFolder(tmp_path / "run")
    with pytest.raises(NoResult):
        asyncio.run(optimise(prepared, raw, ScriptedLLM(team), NullTracker(), folder))
    [step] = read_steps(folder.path / "steps.jsonl")
    assert step["proposal"] == {}
    assert step["skipped"]["answer.instruction"].startswith("the new text cannot be used: it lacks")


def test_words_of_a_training_example_that_nobody_scored_are_no_text_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    Path("copying_rule.py").write_text(
        "def rule(situation, llm):\n"
        "    known = situation.standing.outcomes\n"
        "    [other, *_] = [one for one in situation.training if one.id not in known]\n"
        "    return {'answer.instruction': f'Answer. {other.inputs[\"question\"]}'}\n"
    )
    rows = "".join(f"Sail{n} mast{n} keel{n} oar{n}?,y\n" for n in range(21))
    Path("t.csv").write_text(f"question,a\n{rows}")
    words = ["graph=single", "task=table", "task.path=t.csv", "task.inputs=[question]"]
    words += ["task.target=a", "task.splits={train: 20, validation: 0, test: 1}", "tracking=none"]
    raw = dict(compose([*words, "method.sample.count=1", "method.stop.steps=1"]))
    raw["graph"] = graph_of({"value": "Answer.", "leak": 4})
    raw["method"] = {**raw["method"], "update": {"_target_": "copying_rule.rule"}}
    llm = ScriptedLLM(lambda role, node, messages: "<output>x</output>")
    folder = RunFolder(tmp_path / "run")
    with pytest.raises(NoResult):
        asyncio.run(optimise(prepare(raw, PROMPTS, {}), raw, llm, NullTracker(), folder))
    [step] = read_steps(folder.path / "steps.jsonl")
    assert step["proposal"] == {}
    assert 'it copies "sail' in step["skipped"]["answer.instruction"]


def situation(**known: Any) -> Situation:
    ruled = {"value": "Answer. Begin with the date of it.", "leak": 4}
    graph = build_graph(expand_graph(graph_of(ruled)), PROMPTS)
    return Situation(graph, graph.initial(), {}, **known)


SCORED = ForwardPass("1", {"question": "Sails and masts, keels and oars?", "answer": "x"}, {}, {})
UNSCORED = Example("2", {"question": "Blue tits nest in old walls?"}, "They nest in April or May")
KNOWN: Mapping[str, Any] = {
    "standing": Evaluation({"1": Outcome(SCORED, 0.0, None)}),
    "targets": {"1": "a very long voyage home"},
    "training": (UNSCORED,),
}


@pytest.mark.parametrize(
    ("text", "run"),
    [
        ("sails and masts, keels", "sails and masts keels"),
        ("A very long voyage home.", "a very long voyage"),
        ("NEST in old walls", "nest in old walls"),
        ("nest in April or later", "nest in april or"),
        ("Begin with the date of it.", None),
        ("sails and masts", None),
    ],
)
def test_queries_and_answers_of_all_training_examples_are_guarded(
    text: str, run: str | None
) -> None:
    found = kept(Proposal({NODE: f"Answer. {text}"}), situation(**KNOWN))
    assert found.changes == ({} if run else {NODE: f"Answer. {text}"})
    why = f'the new text cannot be used: it copies "{run}" from an example; say it as a rule, '
    assert [one.startswith(why) for one in found.skipped.values()] == ([True] if run else [])


NODE = "answer.instruction"
