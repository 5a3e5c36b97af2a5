"""The shipped example of each form of node: gradients reach every parameter that they should."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import Start

from sgdflow.config.build import build_graph, expand_graph
from sgdflow.config.compose import compose
from sgdflow.config.paths import prompt_folders
from sgdflow.config.prepare import prepare
from sgdflow.executor.backward import Differentiation, backward_pass
from sgdflow.executor.backward_functions import PromptBackward
from sgdflow.executor.forward import forward_pass
from sgdflow.llm import Message
from sgdflow.llm.chat import parts
from sgdflow.llm.scripted import Said, ScriptedLLM
from sgdflow.prompting.ask import Ask
from sgdflow.prompting.replies import ReplyFormat
from sgdflow.prompting.templates import Prompts
from sgdflow.records import RunFolder
from sgdflow.records.source import read_steps
from sgdflow.runs.run import optimise
from sgdflow.tracking import NullTracker
from sgdflow.update.evidence import gather_evidence

PROMPTS = Prompts(prompt_folders(Path("nowhere")))
INPUTS: Mapping[str, Any] = {
    "question": "By when is damage claimed?",
    "ticket": "My invoice is wrong.",
    "photo": "data:image/png;base64,iVBORw0KGgo=",
    "turns": [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Hello."}],
}
TICKET = {"department": "billing", "urgency": 2}
SAID: Mapping[tuple[str, str], Any] = {
    ("bounded", "plan"): "1 + 2",
    ("calculator", "plan"): "1 + 2",
    ("letter", "facts"): {"customer": "Ann", "advice": "Wait until Monday."},
    ("mapped", "parts"): {"questions": ["a", "b"]},
    ("routed", "triage"): {"department": "billing"},
    ("triage", "triage"): {**TICKET, "reasons": ["money"]},
    ("triage", "answer"): {**TICKET, "reply": "Dear customer,"},
    ("taught", "answer"): 18,
    ("tooled", "answer"): {"tool": "answer", "answer": "3"},
    ("tuned", "query"): "damage claimed",
    ("retrieval", "query"): "damage claimed",
}
REACHED: Mapping[str, Sequence[str]] = {
    "bounded": ["answer.instruction", "plan.instruction"],
    "calculator": ["answer.instruction", "plan.instruction"],
    "demonstrated": ["answer.instruction", "answer.shots", "answer.tone", "hint.instruction"],
    "letter": ["facts.instruction", "letter.form"],
    "mapped": ["answer.instruction", "answers.instruction", "parts.instruction"],
    "mixed": ["answer.instruction", "draft.instruction", "draft.temperature"],
    "pictures": ["answer.instruction", "seen.instruction"],
    "refined": ["answer.instruction", "critique.instruction", "draft.instruction"],
    "retrieval": ["answer.instruction", "query.instruction"],
    "routed": ["billing.instruction", "triage.instruction"],
    "taught": ["answer.answered", "answer.instruction", "plan.instruction"],
    "tooled": ["answer.calculate", "answer.instruction", "plan.instruction"],
    "triage": ["answer.instruction", "draft.instruction", "triage.instruction"],
    "tuned": ["answer.instruction", "answer.sentences", "passages.count", "query.instruction"],
    "voiced": ["answer.instruction", "facts.instruction", "house"],
    "voted": ["answer.instruction", "plan.instruction"],
}
"""By hand, from what each graph declares: `other` of `routed` is the branch that is not taken."""


ELSEWHERE = {"coded", "embedded"}
"""Those that take tests, or a model of embeddings: below, and in test_embedded.py."""
PLAIN = {
    "chain", "clerks", "desk", "hints", "hints_divided", "layered", "liar", "relay", "single",
    "tariff",
}  # fmt: skip
"""Nodes that ask a model and nothing else, which other tests run."""


def test_every_shipped_graph_is_run_by_a_test() -> None:
    folder = Path(__file__).parents[2] / "conf" / "graph"
    assert {file.stem for file in folder.glob("*.yaml")} == {*REACHED} | ELSEWHERE | PLAIN


def gradients(messages: Sequence[Message]) -> str:
    """Answer a backward call with a gradient for each that is asked about."""
    asked = parts(messages[-1].content)[0] if not isinstance(messages[-1].content, str) else ""
    text = messages[-1].content if isinstance(messages[-1].content, str) else str(asked)
    names = dict.fromkeys(re.findall(r'<gradient name="([^"]+)">\.\.\.', text))
    return "".join(f'<gradient name="{name}">{name}: better.</gradient>' for name in names)


@pytest.mark.parametrize("name", REACHED)
def test_gradients_reach_the_parameters_of_each_example(name: str) -> None:
    def team(role: str, node: str, messages: Sequence[Message]) -> Said:
        if role == "backward":
            return gradients(messages)
        said = SAID.get((name, node), "A text.")
        return f"<output>{said}</output>" if isinstance(said, str) else json.dumps(said)

    graph = build_graph(expand_graph(compose([f"graph={name}"])["graph"]), PROMPTS)
    llm, start, names = ScriptedLLM(team), graph.initial(), graph.optimisable
    inputs = {one: INPUTS[one] for one in graph.inputs}
    passed = asyncio.run(forward_pass(graph, start, "one", inputs, llm))
    assert passed.failures == {}
    joint = Ask(PROMPTS, "backward/joint.jinja", "backward", ReplyFormat("tagged", "gradient"))
    how = Differentiation(PromptBackward(joint))
    back = asyncio.run(backward_pass(graph, start, passed, "Wrong.", names, how, llm))
    assert back.failures == {}
    evidence = gather_evidence(graph, [passed], {"one": back}, names)
    reached = [one for one, items in evidence.items() if any(item.gradients for item in items)]
    assert sorted(reached) == REACHED[name]


def test_a_node_is_asked_in_its_own_role() -> None:
    graph = build_graph(expand_graph(compose(["graph=mixed"])["graph"]), PROMPTS)
    llm = ScriptedLLM(lambda role, node, messages: "<output>A text.</output>")
    inputs = {"question": "Why?"}
    asyncio.run(forward_pass(graph, graph.initial(), "one", inputs, llm))
    asked = {one.node: one.role for one in llm.requests}
    assert asked == {"draft": "forward", "answer": "judge"}


def test_a_worked_example_is_sent_as_turns_before_the_query() -> None:
    graph = build_graph(expand_graph(compose(["graph=taught"])["graph"]), PROMPTS)
    llm = ScriptedLLM({"forward": ["<output>Multiply.</output>", " Eight. "]})
    learned = {**graph.initial(), "answer.answered": "They have {{ 18 }}."}
    run = forward_pass(graph, learned, "one", {"question": "How many legs has a spider?"}, llm)
    assert asyncio.run(run).values["answer"] == "Eight."
    system, asked, answered, query = llm.requests[-1].messages
    assert [one.role for one in (system, asked, answered, query)] == [
        "system", "user", "assistant", "user",
    ]  # fmt: skip
    assert answered.content == "They have {{ 18 }}."
    assert "One ant has six" in asked.content
    assert "spider" not in asked.content
    assert "How many legs has a spider?" in query.content
    assert '<variable name="plan">\nMultiply.\n</variable>' in query.content


def test_code_puts_values_in_the_places_of_a_learned_text() -> None:
    graph = build_graph(expand_graph(compose(["graph=letter"])["graph"]), PROMPTS)
    said = {"customer": "Ann {advice}", "advice": "Wait."}
    learned = {**graph.initial(), "letter.form": "{ customer }: {advice} {advice} {other}"}
    llm = ScriptedLLM({"forward": [json.dumps(said)]})
    passed = asyncio.run(forward_pass(graph, learned, "one", {"ticket": "T"}, llm))
    assert passed.values["letter"] == "Ann {advice}: Wait. Wait. {other}"


TESTS = "import unittest\nfrom solution import double\n\n\nclass It(unittest.TestCase):\n"
TESTS += "    def test_it(self):\n        self.assertEqual(double(4), 8)\n"
CODED = (
    "graph=coded", "task=table", "task.path=rows.jsonl", "task.inputs={wanted: wanted}",
    "task.target=tests", "task.splits={train: 2, validation: 0, test: 1}", "tracking=none",
    "+task.score._target_=sgdflow.library.scores.passes_target",
    "+task.score.seconds=60", "method.stop.steps=1",
)  # fmt: skip


def test_what_tests_print_reaches_every_parameter_as_gradients(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [json.dumps({"wanted": f"double {n}", "tests": TESTS}) for n in range(3)]
    Path("rows.jsonl").write_text("\n".join(rows))
    seen = []

    def team(role: str, node: str, messages: Sequence[Message]) -> Said:
        if role == "backward":
            seen.append(str(messages[-1].content))
            return gradients(messages)
        if role == "optimizer":
            return "<improved>Multiply by two.</improved>"
        right = "Multiply by two." in str(messages[-1].content)
        return f"def double(x):\n    return {'2 * ' if right else ''}x\n"

    prepared = prepare(compose(list(CODED)), PROMPTS, {})
    folder = RunFolder(tmp_path / "run")
    record = asyncio.run(optimise(prepared, {}, ScriptedLLM(team), NullTracker(), folder))
    means = [record["scores"]["test"][when]["mean"] for when in ("initial", "final")]
    assert means == [0, 1]
    [step] = read_steps(folder.path / "steps.jsonl")
    assert set(step["proposal"]) == {"plan.instruction", "code.instruction"}
    assert step["accepted"]
    assert "AssertionError: 4 != 8" in seen[0]


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("task.score.folder=nowhere", "task.score.folder: "),
        ("task.score.command=[no-such-program]", "task.score.command: "),
        ("task.score.seconds=0", "(got 0)"),
    ],
)
def test_what_cannot_be_run_is_told_before_any_call(
    said: str, told: str, tmp_path: Path, at: Start
) -> None:
    rows = [json.dumps({"wanted": f"double {n}", "tests": "x"}) for n in range(3)]
    (tmp_path / "rows.jsonl").write_text("\n".join(rows))
    (tmp_path / "tests").mkdir()
    words = [one.replace("passes_target", "passes") for one in CODED]
    folder = [] if "folder" in said else ["+task.score.folder=tests"]
    code, _, err = at(tmp_path, "optimize", *words, *folder, f"++{said}")
    assert code == 1
    assert told in err
    assert "Traceback" not in err
