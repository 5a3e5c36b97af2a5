"""What writers are shown, whichever method asks them, and what becomes of useless texts."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from sgdflow.config.build import build_graph, expand_graph
from sgdflow.config.compose import compose
from sgdflow.config.paths import prompt_folders
from sgdflow.config.prepare import Prepared, prepare
from sgdflow.descent import Descent, Result, Scores, Step
from sgdflow.llm import Message
from sgdflow.llm.scripted import Said, ScriptedLLM
from sgdflow.prompting.templates import Prompts
from sgdflow.update import Situation
from sgdflow.update.standing import frames

STEPS = ("First I look at the words. ", "Then I count them. ")
ABOUT = "a small model (1.5B)"
SYSTEM = "You are terse."
QUERY = re.compile(r"Price this order[^<]*")


@dataclass
class Models:
    """Prices every order at 5 after some reasoning; writers say what they are told to."""

    written: Sequence[str] = ()
    prompts: list[str] = field(default_factory=list)
    asked: list[Sequence[Message]] = field(default_factory=list)

    def __call__(self, role: str, node: str, messages: Sequence[Message]) -> Said:
        prompt = messages[-1].content
        if role == "optimizer":
            self.prompts.append(prompt)
            self.asked.append(messages)
            form = "improved" if "<improved>" in "".join(m.content for m in messages) else ""
            text = (*self.written, *map("Rule number {}.".format, range(99)))[len(self.prompts) - 1]
            return f"<{form}>{text}</{form}>" if form else f'{{"hint.instruction": "{text}"}}'
        if role == "backward":
            names = dict.fromkeys(re.findall(r'<gradient name="(\w+)">', prompt))
            said = [f'<gradient name="{name}">Look it up.</gradient>' for name in names]
            return "\n".join(said) or "<feedback>Not what was expected.</feedback>"
        tag = re.findall(r"Only <([\w-]+)> is used", prompt)[-1:] or ["output"]
        return f"{''.join(STEPS)}So I say:\n<{tag[0]}>5</{tag[0]}>"


@dataclass
class Watch:
    steps: list[Step] = field(default_factory=list)

    def scored(self, initial: Scores) -> None: ...

    def stepped(self, step: Step) -> None:
        self.steps.append(step)


def graph() -> str:
    member: Mapping[str, Any] = {
        "name": "two",
        "inputs": ["order"],
        "nodes": {
            "hint": {"predecessors": ["order"], "parameters": {"instruction": "Work on it."}},
            "answer": {
                "predecessors": ["order", "hint"],
                "parameters": {"instruction": "Price it."},
                "forward": {"reply": {"tag": "price"}},
            },
        },
        "output": "answer",
    }
    return yaml.safe_dump(member)


def prepared(folder: Path, *words: str) -> Prepared:
    (folder / "conf" / "graph").mkdir(parents=True, exist_ok=True)
    (folder / "conf" / "graph" / "two.yaml").write_text(f"# two\n{graph()}")
    raw = compose(
        [
            f"hydra.searchpath=[file://{folder / 'conf'}]",
            "graph=two",
            "task=tariff",
            "tracking=none",
            "task.splits={train: 12, validation: 4, test: 1}",
            "method.stop.steps=1",
            *words,
        ]
    )
    return prepare(raw, Prompts(prompt_folders(folder)), {})


def run(folder: Path, models: Models, *words: str) -> tuple[Result, list[Step]]:
    ready, watch = prepared(folder, *words), Watch()
    descent = Descent(ready.problem, ready.method, ScriptedLLM(models), watch)
    return asyncio.run(descent.run(ready.start)), watch.steps


TEXT_FORM = "end with your output on a line of its own"
DECLARED = (f"graph.forward.about='{ABOUT}'", f"graph.forward.system='{SYSTEM}'")


@pytest.mark.parametrize("method", ["semantic", "no_gradient", "textgrad", "optoprime", "copro"])
def test_a_writer_knows_the_frame_around_its_text_and_who_follows_it(
    method: str, tmp_path: Path
) -> None:
    models = Models()
    declared = (*DECLARED, "method.update.max_characters=300", "method.stop.steps=2")
    run(tmp_path, models, f"method={method}", *declared)
    own = '<parameter name="hint.instruction">'
    prompt = next(p for p in models.prompts if own in p)
    frame = prompt.split("# How the model is asked: hint\n")[1].split("</frame>")[0]
    assert f"the model ({ABOUT})" in frame
    assert frame.index(SYSTEM) < frame.index("<instruction>\n...\n</instruction>")
    assert frame.index("</instruction>") < frame.index('<variable name="order">\n...\n</variable>')
    assert "Only <output> is used" in frame  # the form of the reply, at the end
    assert "300" in prompt
    assert re.search(r"\b11\b", prompt)  # how long "Work on it." is
    if method == "optoprime":  # one prompt for all, with each way of asking
        assert "# How the model is asked: answer\n" in prompt
        assert "Only <price> is used" in prompt


def test_nodes_that_are_asked_alike_are_shown_as_one() -> None:
    def member(given: Sequence[str]) -> Mapping[str, Any]:
        return {"predecessors": given, "parameters": {"instruction": {"shared": "how"}}}

    given = {"one": ["order"], "two": ["order"], "join": ["one", "two"]}
    nodes = {name: member(before) for name, before in given.items()}
    declared = {"name": "g", "inputs": ["order"], "parameters": {"how": "Work."}, "nodes": nodes}
    made = build_graph(
        expand_graph({**declared, "output": "join"}), Prompts(prompt_folders(Path("nowhere")))
    )
    shown = frames(Situation(made, made.initial(), {}, 1, (), ()), "how")
    assert [one.node for one in shown] == ["one, two", "join"]
    assert [f'name="{before}"' in one.text for one in shown for before in ("order", "two")] == [
        *(True, False),
        *(False, True),
    ]


@pytest.mark.parametrize("method", ["semantic", "textgrad", "optoprime"])
def test_a_writer_knows_how_the_system_does_and_who_else_is_rewritten(
    method: str, tmp_path: Path
) -> None:
    models = Models()
    run(tmp_path, models, f"method={method}")
    for prompt in models.prompts:
        assert re.search(r"It scores [\d.]+ on \d+ quer", prompt)
        assert re.search(r'Its answers: "5" \d+; expected: ', prompt)
    if method != "optoprime":
        by_name = {re.findall(r'<parameter name="(\w+)\.', p)[0]: p for p in models.prompts}
        assert "In the same step answer.instruction is rewritten, too." in by_name["hint"]
        assert "In the same step hint.instruction is rewritten, too." in by_name["answer"]


def test_reasoning_is_asked_for_kept_and_shown_to_the_writer(tmp_path: Path) -> None:
    models = Models()
    _, (step, *_) = run(tmp_path, models)
    (call,) = step.tried.learned[0].forward.calls["answer"]
    assert 'Begin with "Reasoning:".' in call.messages[-1].content
    assert call.reply.startswith(STEPS[0])
    shown = f"<reasoning>\n{''.join(STEPS)}So I say:\n</reasoning>\nOutput: 5\n"
    # The output is shown once, and the reply's own tags are no reason to mark the prompt's.
    assert all(shown in prompt for prompt in models.prompts)


def test_successes_stand_beside_the_failures(tmp_path: Path) -> None:
    class Knowing(Models):
        """Prices every other order right, as if it knew what they come to."""

        def __call__(self, role: str, node: str, messages: Sequence[Message]) -> Said:
            if role != "forward" or node != "answer":
                return Models.__call__(self, role, node, messages)
            (order,) = QUERY.findall(messages[-1].content)
            return f"<price>{known.get(order.strip(), 1000)}</price>"

    train = prepared(tmp_path).problem.splits.train
    targets = {str(one.inputs["order"]): str(one.target) for one in train}
    right = [*targets][::2]
    known = {order: price if order in right else "1000" for order, price in targets.items()}
    models = Knowing()
    run(tmp_path, models, "method.lazy=false")
    assert len(models.prompts) == 2
    for prompt in models.prompts:
        successes = "".join(re.findall(r"<success>.*?</success>", prompt, re.S))
        shown = re.findall(r"^`order`: (.*)", successes, re.M)
        assert len(shown) == 2
        assert set(shown) <= {*right}


@pytest.mark.parametrize(
    ("method", "text"),
    [
        ("semantic", "Follow the feedback."),
        ("textgrad", "Work on the given problem carefully."),
        ("optoprime", "Follow the feedback."),
        ("no_gradient", "copied"),
    ],
)
def test_a_useless_text_is_asked_for_again_and_never_comes_to_the_gate(
    method: str, text: str, tmp_path: Path
) -> None:
    """Three times the same: it is skipped with the reason, before anything is scored with it."""

    class Copying(Models):
        def __call__(self, role: str, node: str, messages: Sequence[Message]) -> Said:
            if role == "optimizer" and text == "copied":
                first = messages[1].content
                self.written = [f"Do this: {QUERY.findall(first)[0].strip()}"] * 99
            return super().__call__(role, node, messages)

    models = Copying([text] * 99)
    only = () if method == "optoprime" else ("method.update.parameters=[hint.instruction]",)
    _, (step, *_) = run(tmp_path, models, f"method={method}", *only)
    assert step.tried.proposal.changes == {}
    assert step.tried.decision.reason.startswith("no usable proposal (")
    assert step.tried.trial.seen is None
    assert len(models.prompts) == 3
    reasons = ("the member never sees", "use an example of your own", "says no more than")
    assert any(reason in models.asked[1][-1].content for reason in reasons)
    models = Copying([text] * 99)
    _, (step, *_) = run(
        tmp_path / "off", models, f"method={method}", *only, "method.update.checks=false"
    )
    assert set(step.tried.proposal.changes) == {"hint.instruction"}


def test_weak_writers_are_asked_one_thing_in_few_words(tmp_path: Path) -> None:
    """The form first, no thinking; what they are told is what others are told in short."""
    short, full = Models(), Models()
    run(tmp_path / "short", short, "method.words=short", "method.stop.steps=2")
    run(tmp_path / "full", full, "method.stop.steps=2")
    for prompt in short.prompts:
        assert prompt.startswith("Reply in exactly this form and with nothing else:\n<improved>")
        assert "Think" not in prompt
        assert re.search(r'The answers are: "5" \d+\. Right would be: "\d+" \d', prompt)
        assert "# " not in prompt
    assert "These were tried before:" in short.prompts[-1]
    assert "Turned down, " in short.prompts[-1]
    for prompt in short.prompts + full.prompts:  # whose text is told, and its room by default
        (text,) = re.findall(r'<parameter name="[^"]+">\n(.*?)\n</parameter>', prompt, re.S)
        assert f"t most 2000 characters (it has {len(text)})." in prompt
    assert sum(map(len, short.prompts)) < 0.6 * sum(map(len, full.prompts))


def test_what_is_not_asked_in_the_words_that_were_chosen_is_said(tmp_path: Path) -> None:
    def said(*words: str) -> list[tuple[str, bool]]:
        notices = prepared(tmp_path, *words).notices
        return [(one.text, one.unsure) for one in notices if "words" in one.text]

    assert said("method.words=short") == said("method=textgrad") == []
    has = (
        "method.words=short: prompts/short has backward/joint.jinja, optimizer/rewrite.jinja; "
        "asked in full words, as it has no such template: "
    )
    local = ("method.backward.local=true", "method.backward.prompt=backward/local.jinja")
    assert said("method.words=short", *local) == [(f"{has}backward/local.jinja.", False)]
    names = "loss/textual.jinja, backward/textgrad.jinja, optimizer/textgrad.jinja"
    assert said("method=textgrad", "+method.words=short") == [(f"{has}{names}.", True)]


def test_what_a_rule_makes_no_use_of_is_said(tmp_path: Path) -> None:
    def said(*words: str) -> list[str]:
        return [one.text for one in prepared(tmp_path, *words).notices if "no effect" in one.text]

    assert said() == said("method.gate.rule=paired", "method.gate.level=0.2") == []
    queue = ("method.pool.keep=2", "method.pool.choose=queue", "method.pool.temperature=1.0")
    assert said(*queue) == []
    assert said(
        "method.gate.level=0.2", "method.pool.temperature=1.0", "method.pool.choose=best"
    ) == [
        "method.gate.level=0.2 has no effect; it takes method.gate.rule=paired.",
        "method.pool.temperature=1.0 has no effect; it takes method.pool.choose=queue.",
        "method.pool.choose=best has no effect; it takes method.pool.keep=2 or more.",
    ]
    assert not prepared(tmp_path, "method.pool.choose=best").method.pool.scored


def test_hints_may_begin_with_different_work() -> None:
    for name, different in (("hints", 1), ("hints_divided", 2)):
        nodes = compose([f"graph={name}", "tracking=none"])["graph"]["nodes"]
        told = {nodes[hint]["parameters"]["instruction"] for hint in ("hint_1", "hint_2")}
        assert len(told) == different


def test_nodes_are_read_forgivingly_and_critics_and_writers_are_not(tmp_path: Path) -> None:
    raw = compose(["graph=tariff", "task=tariff", "tracking=none"])
    config = prepare(raw, Prompts(prompt_folders(tmp_path)), {}).config.model_dump()
    node = config["graph"]["forward"]["reply"]
    assert (node["untagged"], node["truncated"]) == ("whole", "fail")
    for part in ("backward", "update"):
        reply = config["method"][part]["reply"]
        assert (reply["untagged"], reply["truncated"]) == ("fail", "fail")


@pytest.mark.parametrize(
    ("words", "hint", "answer"),
    [
        ((f"graph.forward.system='{SYSTEM}'",), SYSTEM, SYSTEM),
        ((f"graph.nodes.hint.forward.system='{SYSTEM}'",), SYSTEM, "You work carefully"),
        (("graph.forward.system=''",), None, None),
        (("graph.forward.reply.format=text",), TEXT_FORM, TEXT_FORM),
        (("graph.nodes.hint.forward.reply.format=text",), TEXT_FORM, "Only <price> is used"),
        (("graph.forward.reply.reasoning=none",), "Reply with nothing but your output", None),
    ],
)
def test_the_frame_is_declared_for_all_nodes_or_for_one(
    words: Sequence[str], hint: str | None, answer: str | None, tmp_path: Path
) -> None:
    _, (step, *_) = run(tmp_path, Models(), *words)
    calls = step.tried.learned[0].forward.calls
    sent = {
        node: "\n".join(m.content for m in calls[node][0].messages) for node in ("hint", "answer")
    }
    if hint is None:
        assert [m.role for m in calls["hint"][0].messages] == ["user"]
    else:
        assert hint in sent["hint"]
        assert answer is None or answer in sent["answer"]
