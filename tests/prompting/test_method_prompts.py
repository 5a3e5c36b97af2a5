"""Golden renderings of the methods' prompts, so that a change of wording is seen.

SGDFLOW_UPDATE_GOLDEN=1 writes them anew.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from sgdflow.config.build import build_graph, expand_graph
from sgdflow.config.paths import prompt_folders
from sgdflow.data import Example
from sgdflow.executor.gradients import LOSS, Gradient
from sgdflow.executor.graph import Graph
from sgdflow.executor.loss import ANSWERED, Reading, unread
from sgdflow.executor.places import View
from sgdflow.executor.scores import NAMES, Judge
from sgdflow.executor.tree import Summary
from sgdflow.executor.walk import Failure
from sgdflow.llm import Message
from sgdflow.prompting.ask import Ask
from sgdflow.prompting.replies import ReplyFormat
from sgdflow.prompting.templates import Prompts
from sgdflow.prompting.values import shown
from sgdflow.update.choice import Pick, Piece
from sgdflow.update.contrast import Contrast, Done
from sgdflow.update.edits import Edits
from sgdflow.update.optoprime import Line, Try
from sgdflow.update.prompt_views import Attempt, Stand, Wrote
from sgdflow.update.standing import Frame, Standing

GOLDEN = Path(__file__).parent / "golden_methods"
PROMPTS = Prompts(prompt_folders(Path(os.devnull)))
GRADIENT, IMPROVED = ReplyFormat("tagged", "gradient"), ReplyFormat("tagged", "improved")
SUMMARY = ReplyFormat("tagged", "summary")
ZONES = Summary("It lacks the zones.", 8)
FRAME = Frame("weight", "[user]\nDo this: ...")
GRAPH = """
name: desk
inputs: [order]
nodes:
  weight: {predecessors: [order], parameters: {instruction: Price the weight.}}
  zone: {predecessors: [order], parameters: {instruction: Price the zone.}}
  desk:
    predecessors: [order, weight, zone]
    parameters: {instruction: Add the prices up., tone: {value: Be brief., frozen: true}}
output: desk
"""
VALUES = {"order": "Weight: heavy. Zone: east.", "weight": "12 (assumed)", "zone": "7"}
ITS_FEEDBACK = "The output is wrong. The expected answer is: 22"


def _graph() -> Graph:
    return build_graph(expand_graph(yaml.safe_load(GRAPH)), PROMPTS)


def _view(name: str) -> View:
    graph = _graph()
    return graph.view(name, graph.initial())


def _work(targets: Sequence[str], names: Sequence[str]) -> Mapping[str, Any]:
    return {
        "node": _view("desk"),
        "predecessors": shown({name: VALUES[name] for name in names}),
        "targets": list(targets),
        "parameters": dict(_view("desk").parameters),
        "output": "19",
        "gradients": (Gradient(LOSS, ITS_FEEDBACK),),
        "alike": [],
        "behind": [],
        "successes": [],
        "max_characters": None,
        "reply": GRADIENT.asking(targets),
    }


def _rewrite(reply: ReplyFormat, **more: Any) -> Mapping[str, Any]:
    example = {
        "number": more.pop("number", 0),
        "node": "weight",
        "predecessors": shown({"order": VALUES["order"]}),
        "reasoning": "",
        "output": VALUES["weight"],
        "gradients": [Gradient("desk", "It should be 15.")],
        "verdict": more.pop("verdict", ""),
        "summary": more.pop("summary", None),
    }
    nothing: Mapping[str, Any] = {
        "attempts": [],
        "stands": [],
        "critique": "",
        "cause": "",
        "contrasts": [],
        "frames": [],
        "about": "",
        "standing": None,
        "successes": [],
        "others": [],
        "constraints": [],
        "lines": [],
        "max_characters": None,
        "copies": 0,
    }
    parameter = {"name": "weight.instruction", "text": "Price the weight."}
    members = [_view("weight")]
    own = {"parameter": parameter, "members": members, "examples": [example]}
    return {**own, **nothing, "reply": reply.asking(), **more}


def _program() -> Mapping[str, Any]:
    graph = _graph()
    names = list(graph.optimisable)
    run = {
        "number": 0,
        "predecessors": shown(VALUES),
        "reasoning": "",
        "verdict": "",
        "summary": None,
        "output": "19",
        "gradients": [Gradient(LOSS, ITS_FEEDBACK)],
    }
    return {
        "graph": [
            Line("weight", ("order",), ("weight.instruction",), ""),
            Line("table", ("weight",), (), "my_package.look_up"),
            Line("desk", ("order", "table"), ("desk.instruction", "desk.tone"), ""),
        ],
        "inputs": ["order"],
        "output": "desk",
        "parameters": {name: graph.initial()[name] for name in names},
        "fixed": {"desk.tone": "Be brief."},
        "frames": [Frame("weight, desk", FRAME.text)],
        "about": "a small model",
        "standing": Standing(0.25, 4, "", "19 2, 22 2"),
        "others": [],
        "members": [],
        "examples": [run],
        "tries": [
            Try({"weight.instruction": "Guess the weight."}, 0.25, accepted=False, reason=WORSE)
        ],
        "rules": {},
        "max_characters": 200,
        "copies": 8,
        "reply": ReplyFormat("json", partial=True).asking(names),
    }


def _choice(*now: int) -> Mapping[str, Any]:
    pieces = [
        Piece(n, shown({"order": f"Weight: {said}."}), price, n in now)
        for n, (said, price) in enumerate([("heavy", "15"), ("light", "5"), ("none", "0")], 1)
    ]
    variables = _rewrite(ReplyFormat("tagged", "chosen"), standing=EVERYTHING["standing"])
    own = {
        "pieces": pieces,
        "most": 2,
        "picks": [Pick("1, 2", f"Turned down, {WORSE}.")] * bool(now),
        "left": 0,
    }
    names = ("parameter", "members", "examples", "standing", "reply")
    return {**{name: variables[name] for name in names}, **own}


def _summed(program: Mapping[str, Any]) -> Mapping[str, Any]:
    names = ("graph", "parameters", "examples")
    return {**{name: program[name] for name in names}, "reply": SUMMARY.asking()}


def _tried_texts() -> Mapping[str, Any]:
    parameter = {"name": "weight.instruction", "text": "Price the weight."}
    return {"parameter": parameter, "attempts": [ATTEMPT], "reply": SUMMARY.asking()}


def _search(attempts: Sequence[Attempt], summary: Summary | None = None) -> Mapping[str, Any]:
    variables = _rewrite(IMPROVED, attempts=attempts, variant=2, breadth=4)
    variables = {**variables, "summary": summary, "frames": [FRAME], "about": "a small model"}
    unused = {"examples", "stands", "critique", "cause", "contrasts", "successes", "lines"}
    return {name: value for name, value in variables.items() if name not in unused}


def _wordings() -> Mapping[str, Any]:
    return {
        "parameter": {"name": "weight.instruction", "text": "Price the weight."},
        "members": [_view("weight")],
        "constraints": ["Use at most 200 characters."],
        "variant": 1,
        "count": 2,
        "reply": ReplyFormat("tagged", "wording").asking(),
    }


def _judged(reading: Reading) -> Mapping[str, Any]:
    return {
        "inputs": {"order": VALUES["order"]},
        "output": "19",
        "target": "22",
        "score": 0.0,
        "reading": reading,
        "reply": ReplyFormat("tagged", "feedback").asking(),
    }


def _verdict() -> Mapping[str, Any]:
    form = ReplyFormat("tagged", "verdict")
    judge = Judge(Ask(PROMPTS, "score/judge.jinja", "judge", form), "It names the total.", 1, 5)
    example = Example("1", {"order": VALUES["order"]}, "22")
    return {**judge.variables(example, VALUES, "19"), "reply": form.asking(NAMES)}


def _item(order: str, output: str, said: str) -> Mapping[str, Any]:
    (example,) = _rewrite(IMPROVED)["examples"]
    gradients = [Gradient("desk", said)]
    given = shown({"order": order})
    return {**example, "predecessors": given, "output": output, "gradients": gradients}


LONG = "Say what heavy costs.\nIt is 15."
ALIKE = [
    _item("heavy, east", "12", "It should be 15."),
    _item("light, east", "12", LONG),
    _item("heavy, east", "12", "It should be 15."),
    _item("heavy,\neast", "7", "It should be 15."),
]
CAUSE = "zones: it does not say what a zone costs"
CONTRAST = Contrast("Heavy: 15.", (Done(1, 1.0, "15"),), ("desk.instruction",))
WORSE = "worse: 0.5 -> 0.25 on 4 examples (0 up, 1 down)"
ATTEMPT = Attempt(
    "Weigh it.",
    0.25,
    0.5,
    WORSE,
    beside=("desk.instruction",),
    replies=(
        Wrote("weight", {"order": "Weight: light."}, "It is heavy."),
        Wrote("weight", {"order": "Weight: heavy."}, "It is heavy.", better=True),
    ),
    since=("zone.instruction",),
)
TAKEN = Attempt("Price the weight.", 0.5, 0.25, "better: 0.25 -> 0.5 ...", accepted=True)
OTHER = Attempt("Guess.", 0.5, 0.25, "better: 0.25 -> 0.5 ...", accepted=True)
STAND = Stand(1, "Price it.", [Gradient("desk", "Say what you assume.")])
EVERYTHING = {
    "attempts": [ATTEMPT, TAKEN],
    "stands": [STAND],
    "critique": "It does not say what heavy costs.",
    "frames": [FRAME],
    "about": "a small model",
    "standing": Standing(0.4, 40, '"no" 36, "yes" 4', '"no" 20, "yes" 20', "36 of 40 ..."),
    "successes": [
        {"predecessors": shown({"order": "Weight: light."}), "output": "5", "gradients": []}
    ],
    "others": ["desk.instruction"],
    "constraints": ["Keep to plain words."],
    "max_characters": 200,
    "copies": 8,
}
CASES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "joint": ("backward/joint.jinja", _work(["weight", "zone"], list(VALUES))),
    "joint-alone": ("backward/joint.jinja", {**_work(["weight"], ["weight"]), "parameters": {}}),
    "local": ("backward/local.jinja", _work(["weight", "desk"], list(VALUES))),
    "local-alone": ("backward/local.jinja", _work(["weight", "desk"], ["weight"])),
    "local-above": ("backward/local.jinja", _work(["weight"], list(VALUES))),
    "comment": ("backward/comment.jinja", _work(["weight", "zone"], list(VALUES))),
    "edge": ("backward/edge.jinja", _work(["weight"], ["weight"])),
    "textgrad-predecessor": ("backward/textgrad.jinja", _work(["weight"], list(VALUES))),
    "textgrad-parameter": ("backward/textgrad.jinja", _work(["instruction"], list(VALUES))),
    "value": (
        "backward/value.jinja",
        {**_work(["weight"], list(VALUES)), "reply": ReplyFormat("tagged", "value").asking()},
    ),
    "rewrite": ("optimizer/rewrite.jinja", _rewrite(IMPROVED)),
    "rewrite-alike": (
        "optimizer/rewrite.jinja",
        _rewrite(IMPROVED, examples=ALIKE, successes=[{**one, "gradients": ()} for one in ALIKE]),
    ),
    "rewrite-everything": ("optimizer/rewrite.jinja", _rewrite(IMPROVED, **EVERYTHING)),
    "rewrite-tried": ("optimizer/rewrite.jinja", _rewrite(IMPROVED, verdict="repaired")),
    "rewrite-taken": (
        "optimizer/rewrite.jinja",
        _rewrite(IMPROVED, attempts=[OTHER, TAKEN, OTHER]),
    ),
    "critique": ("optimizer/critique.jinja", _rewrite(ReplyFormat("tagged", "critique"))),
    "textgrad-rewrite": ("optimizer/textgrad.jinja", _rewrite(IMPROVED, **EVERYTHING)),
    "optoprime": ("optimizer/optoprime.jinja", _program()),
    "causes": (
        "optimizer/causes.jinja",
        _rewrite(ReplyFormat("tagged", "critique"), number=1, causes=3, attempts=[ATTEMPT]),
    ),
    "demonstrations": ("optimizer/demonstrations.jinja", _choice(1, 2)),
    "demonstrations-none": ("optimizer/demonstrations.jinja", _choice()),
    "cluster": (
        "aggregation/cluster.jinja",
        _rewrite(ReplyFormat("tagged", "groups"), number=1, causes=3),
    ),
    "rewrite-cause": ("optimizer/rewrite.jinja", _rewrite(IMPROVED, cause=CAUSE)),
    "rewrite-contrast": (
        "optimizer/rewrite.jinja",
        _rewrite(IMPROVED, number=1, contrasts=[CONTRAST]),
    ),
    "textgrad-rewrite-contrast": (
        "optimizer/textgrad.jinja",
        _rewrite(IMPROVED, number=1, contrasts=[CONTRAST]),
    ),
    "textgrad-rewrite-cause": ("optimizer/textgrad.jinja", _rewrite(IMPROVED, cause=CAUSE)),
    "short-rewrite-cause": ("short/optimizer/rewrite.jinja", _rewrite(IMPROVED, cause=CAUSE)),
    "sum-examples": (
        "aggregation/examples.jinja",
        {**_rewrite(SUMMARY), "summaries": [], "count": 2},
    ),
    "sum-summaries": (
        "aggregation/examples.jinja",
        {**_rewrite(SUMMARY), "summaries": [Summary("It lacks the zones.", 2)] * 2, "count": 4},
    ),
    "sum-successors": (
        "aggregation/successors.jinja",
        {**_work([], ["order"]), "summaries": [], "count": 1, "reply": SUMMARY.asking()},
    ),
    "sum-runs": (
        "aggregation/runs.jinja",
        {**_summed(_program()), "summaries": [], "count": 1},
    ),
    "sum-runs-above": (
        "aggregation/runs.jinja",
        {**_summed(_program()), "summaries": [ZONES] * 2, "count": 4},
    ),
    "sum-attempts": (
        "aggregation/attempts.jinja",
        {**_tried_texts(), "summaries": [], "count": 1},
    ),
    "copro-summed": ("optimizer/copro.jinja", _search([], summary=ZONES)),
    "rewrite-edits": (
        "optimizer/rewrite.jinja",
        _rewrite(IMPROVED, lines=Edits().lines("Price the weight.\nNone is 0.")),
    ),
    "rewrite-summed": ("optimizer/rewrite.jinja", _rewrite(IMPROVED, summary=ZONES)),
    "wordings": ("probe/wordings.jinja", _wordings()),
    "copro-first": ("optimizer/copro.jinja", _search([])),
    "copro-later": ("optimizer/copro.jinja", _search([ATTEMPT, Attempt("Price it.", 0.5)])),
    "short-joint": ("short/backward/joint.jinja", _work(["weight", "zone"], list(VALUES))),
    "short-rewrite": ("short/optimizer/rewrite.jinja", _rewrite(IMPROVED, **EVERYTHING)),
    "judge": ("score/judge.jinja", _verdict()),
    "textual-loss": ("loss/textual.jinja", _judged(ANSWERED)),
    "textual-loss-read": (
        "loss/textual.jinja",
        _judged(Reading(True, "", "", "19", "a number", plain=False)),
    ),
    "joint-successes": (
        "backward/joint.jinja",
        {
            **_work(["weight", "zone"], ["weight", "zone"]),
            "successes": [
                {"predecessors": shown({"weight": "12 (assumed)", "zone": "0"}), "output": "12"}
            ],
        },
    ),
    "textual-loss-unread": (
        "loss/textual.jinja",
        _judged(unread(Failure("weight", "3 replies ...", (), "truncated"), "desk")),
    ),
}


def chat(messages: Sequence[Message]) -> str:
    return "".join(f"=== {message.role}\n{message.content}\n" for message in messages)


@pytest.mark.parametrize("name", CASES)
def test_golden(name: str) -> None:
    template, variables = CASES[name]
    rendered = chat(PROMPTS.messages(template, variables))
    file = GOLDEN / f"{name}.txt"
    if os.environ.get("SGDFLOW_UPDATE_GOLDEN"):
        GOLDEN.mkdir(exist_ok=True)
        file.write_text(rendered, encoding="utf-8")
    assert rendered == file.read_text(encoding="utf-8")


def _users_messages() -> Iterator[str]:
    for template, variables in CASES.values():
        if not template.startswith("short/"):  # those begin with the form
            yield PROMPTS.messages(template, variables)[-1].content


def test_each_prompt_states_the_reply_format_once_and_last() -> None:
    for text in _users_messages():
        headings = [line for line in text.splitlines() if line.startswith("# ")]
        assert headings.count("# How to reply") == 1
        assert headings[-1] == "# How to reply"


def test_each_prompt_separates_its_sections() -> None:
    """A heading stands between empty lines, and no two empty lines follow each other."""
    for text in _users_messages():
        lines = ["", *text.splitlines(), ""]
        for before, line, after in zip(lines, lines[1:], lines[2:], strict=False):
            if line.startswith("# "):
                assert (before, after) == ("", ""), (line, before, after)
