"""Edits of numbered lines: what they make of a text, and what does not fit it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated import Simulated, Watch

from sgdflow.config.compose import changed, compose
from sgdflow.config.paths import prompt_folders
from sgdflow.config.prepare import Prepared, prepare
from sgdflow.descent import Descent, Result, Step
from sgdflow.errors import ConfigError, ReplyError
from sgdflow.llm import Message, Reply
from sgdflow.plan.totals import make_plan
from sgdflow.prompting.templates import Prompts
from sgdflow.simulation.editing import as_edits
from sgdflow.update.edits import Edits, NumberedLine

PROMPTS = Prompts(prompt_folders(Path(__file__).parent))
TEXT = "Price the order.\nHeavy costs 7.\n\nNone is 0."


@pytest.mark.parametrize(
    ("reply", "made"),
    [
        ("NONE", TEXT),
        ("ADD 0: First.", f"First.\n{TEXT}"),
        ("add after line 4: Last.", f"{TEXT}\nLast."),
        ("REPLACE 2: Heavy costs 9.", "Price the order.\nHeavy costs 9.\n\nNone is 0."),
        ("DELETE 3\nDELETE 2.", "Price the order.\nNone is 0."),
        # Numbers are those of the text as it stood, whatever is done before them.
        (
            "DELETE 1\n\n- ADD 1: One.\n- ADD 1: Two.\nREPLACE 4: None costs\nnothing.",
            "One.\nTwo.\nHeavy costs 7.\n\nNone costs\nnothing.",
        ),
        ("```\nDELETE 4\n```", "Price the order.\nHeavy costs 7.\n"),
        (
            "ADD 2: It says: DELETE 3 is no edit here.",
            TEXT.replace("7.\n", "7.\nIt says: DELETE 3 is no edit here.\n"),
        ),
    ],
)
def test_edits_are_made_as_they_say(reply: str, made: str) -> None:
    assert Edits().text(reply, TEXT) == made


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        ("Price it better.", '"Price it better." is no edit; write ADD n: ..., REPLACE n: ...'),
        ("DELETE 5", "DELETE 5: there is no line 5; the text has 4 lines"),
        ("REPLACE 0: A.", "REPLACE 0: there is no line 0; the text has 4 lines"),
        ("ADD 5: A.", "ADD 5: there is no line 5; the text has 4 lines"),
        ("DELETE 2\nREPLACE 2: A.", "REPLACE 2: line 2 is edited twice; edit it once"),
        ("REPLACE 2:", "REPLACE 2 has no text; write it after a colon, or DELETE the line"),
        ("DELETE 2: Heavy.", "DELETE 2 takes no text; to put one in its place write REPLACE"),
        ("DELETE 2\nand more", '"and more", after DELETE 2, is no edit'),
        ("\n".join(f"DELETE {i}" for i in (1, 2, 4)), "the edits delete all there is"),
    ],
)
def test_edits_that_do_not_fit_are_refused_with_the_reason(reply: str, why: str) -> None:
    with pytest.raises(ReplyError, match=re.escape(why)):
        Edits().text(reply, TEXT)


LINES = st.lists(st.sampled_from(["a", "b", "c", "say it", ""]), min_size=1, max_size=8)


@settings(deadline=None)
@given(old=LINES, new=LINES)
def test_any_text_can_be_made_of_any_other(old: Sequence[str], new: Sequence[str]) -> None:
    """The edits are worked out by difflib; a line that is put in has to hold something."""
    new = [line or "-" for line in new]
    assert Edits().text(as_edits("\n".join(old), "\n".join(new)), "\n".join(old)) == (
        "\n".join(new)
    )


def test_lines_are_numbered_from_one_and_blank_ones_count() -> None:
    assert Edits().lines("a\n\nb") == [
        NumberedLine(1, "a"),
        NumberedLine(2, ""),
        NumberedLine(3, "b"),
    ]


@cache
def _composed() -> Any:
    return compose(["tracking=none", "experiments=quickstart", "task.splits.test=20"])


def ready(*words: str) -> Prepared:
    return prepare(changed(_composed(), words), PROMPTS, {})


def optimise(*words: str, models: Simulated) -> tuple[Result, list[Step]]:
    prepared, watch = ready(*words), Watch()
    descent = Descent(prepared.problem, prepared.method, models, watch)
    return asyncio.run(descent.run(prepared.start)), watch.steps


def test_a_run_learns_the_same_by_edits() -> None:
    texts = []
    for form in ("whole", "edits"):
        llm = Simulated()
        words = (f"method.update.form={form}", "method.stop.steps=2")
        _, steps = optimise(*words, models=llm)
        texts.append([step.tried.proposal.changes for step in steps])
        asked = [r.messages[-1].content for r in llm.requests if r.role == "optimizer"]
        assert all(("<lines>\n1: " in text) == (form == "edits") for text in asked)
    assert texts[0] == texts[1]
    assert any(texts[0])


class Careless(Simulated):
    """Writers that name a line that is not there, until they are told."""

    async def complete(
        self, role: str, messages: Sequence[Message], *, node: str, sample: int = 0
    ) -> Reply:
        # Asked again, a simulated writer may slip in another way: the first attempt is the oracle.
        first = sample % 1000
        said = await super().complete(role, messages[:2], node=node, sample=first)
        if role == "optimizer" and not messages[-1].again:
            return Reply(re.sub(r"(REPLACE|ADD) \d+", r"\1 99", said.text))
        self.again = messages[-1].content if messages[-1].again else self.again
        return said

    again = ""


def test_what_does_not_fit_goes_back_to_the_writer_with_the_reason() -> None:
    careful, careless = Simulated(), Careless()
    words = ("method.update.form=edits", "method.stop.steps=1")
    made = [optimise(*words, models=llm)[1][0].tried.proposal for llm in (careful, careless)]
    assert made[0].changes == made[1].changes
    assert "there is no line 99; the text has 1 line" in careless.again
    malformed = [
        one for calls in made[1].calls.values() for call in calls for one in call.malformed
    ]
    assert malformed


def test_what_edits_cannot_be_made_of_is_told_before_a_run() -> None:
    number = {"graph.nodes.desk.parameters.instruction": 3}
    raw = changed(_composed(), [f"{k}={v}" for k, v in number.items()])
    with pytest.raises(ConfigError, match=r"parameter 'desk.instruction' is 3; edits need lines"):
        prepare(changed(raw, ["method.update.form=edits"]), PROMPTS, {})
    tuned = ["graph=tuned", "tracking=none", "method.update.form=edits"]
    with pytest.raises(ConfigError) as told:
        prepare(compose(tuned), PROMPTS, {})
    assert [line for line in str(told.value).splitlines() if "passages.count" in line] == [
        "method.update: parameter 'passages.count' is a whole number from 1 to 6; edits need lines "
        "of text. Set method.update.form=whole, freeze it (frozen: true), or leave it out of "
        "method.update.parameters."
    ]
    assert "'answer.sentences' is one of 1, 2, 5; edits" in str(told.value)
    texts = "method.update.parameters=[query.instruction,answer.instruction]"
    prepare(compose([*tuned, texts]), PROMPTS, {})
    with pytest.raises(ConfigError, match="never shows lines, which edits name by number"):
        ready("method.update.form=edits", "method.update.prompt=optimizer/textgrad.jinja")


class Adding(Simulated):
    """Writers that put an item after the second one."""

    async def complete(
        self, role: str, messages: Sequence[Message], *, node: str, sample: int = 0
    ) -> Reply:
        said = await super().complete(role, messages, node=node, sample=sample)
        if node != "weight.instruction" or role != "optimizer":
            return said
        return Reply("<improved>ADD 2: The weight heavy costs 19.</improved>")


def test_items_of_a_list_are_the_lines_that_edits_name() -> None:
    items = ["Price the weight of the order.", "Add {nothing}: to it.", "Be exact."]
    raw = _composed()
    graph = {**raw["graph"], "nodes": {**raw["graph"]["nodes"]}}
    blocks = [f"{items[0]}\n", *items[1:]]  # as YAML reads an item that begins with |
    weight = {**graph["nodes"]["weight"], "parameters": {"instruction": blocks}}
    graph["nodes"]["weight"] = weight
    llm, watch = Adding(), Watch()
    raw = changed({**raw, "graph": graph}, ["method.update.form=edits", "method.stop.steps=1"])
    prepared = prepare(raw, PROMPTS, {})
    assert prepared.start["weight.instruction"] == "\n".join(items)
    descent = Descent(prepared.problem, prepared.method, llm, watch)
    asyncio.run(descent.run(prepared.start))
    (asked,) = (r for r in llm.requests if r.role == "optimizer" and r.node.startswith("weight"))
    for number, item in enumerate(items, 1):
        assert f"\n{number}: {item}\n" in asked.messages[-1].content
    made = watch.steps[0].tried.proposal.changes["weight.instruction"]
    assert made == "\n".join([*items[:2], "The weight heavy costs 19.", items[2]])


class Cutting(Simulated):
    """Writers that first cut what has to stay, and add too much; told so, they add a little."""

    async def complete(
        self, role: str, messages: Sequence[Message], *, node: str, sample: int = 0
    ) -> Reply:
        # Asked again, a simulated writer may slip in another way: the first attempt is the oracle.
        first = sample % 1000
        said = await super().complete(role, messages[:2], node=node, sample=first)
        if node != "weight.instruction" or role != "optimizer":
            return said
        self.told.append(messages[-1].content)
        edits = ("DELETE 2", "ADD 1: Heavy costs 19, light 36.", "ADD 1: Heavy costs 19.")
        return Reply(f"<improved>{edits[len(self.told) - 1]}</improved>")

    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []


def test_what_is_declared_of_a_text_holds_for_what_edits_make_of_it() -> None:
    raw = _composed()
    nodes = {**raw["graph"]["nodes"]}
    ruled: dict[str, Any] = {"value": ["Price the weight.", "Be exact."], "keep": ["Be exact."]}
    ruled["max_characters"] = len("Price the weight.\nHeavy costs 19.\nBe exact.")
    nodes["weight"] = {**nodes["weight"], "parameters": {"instruction": ruled}}
    raw = {**raw, "graph": {**raw["graph"], "nodes": nodes}}
    prepared = prepare(
        changed(raw, ["method.update.form=edits", "method.stop.steps=1"]), PROMPTS, {}
    )
    llm, watch = Cutting(), Watch()
    asyncio.run(Descent(prepared.problem, prepared.method, llm, watch).run(prepared.start))
    made = watch.steps[0].tried.proposal.changes["weight.instruction"]
    assert made == "Price the weight.\nHeavy costs 19.\nBe exact."
    assert 'it lacks what has to stay, letter by letter: "Be exact."' in llm.told[1]
    assert "it has 53 characters; at most 43 may be used" in llm.told[2]


def test_a_plan_counts_edits_as_texts() -> None:
    plans = []
    for form in ("whole", "edits"):
        few = ("task.splits.train=8", "task.splits.validation=5", "method.stop.steps=1")
        prepared = ready(f"method.update.form={form}", *few)
        plan = make_plan(prepared, dict.fromkeys(prepared.calling.models, None))
        assert plan.warnings == ()
        plans.append([{r: s.calls for r, s in row.taken.items()} for row in plan.totals])
    assert plans[0] == plans[1]
