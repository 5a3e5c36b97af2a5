"""Templates: what is said to models, that values are never code, and that mistakes are found early.

tests/golden/ holds what templates make of one example; those of the methods are kept by
test_method_prompts.py. To write the files anew after a change of wording, and then look at the
difference:

    SGDFLOW_UPDATE_GOLDEN=1 python -m pytest -n 0 tests/prompting/test_prompts.py
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import Environment, meta, nodes
from test_method_prompts import CASES as METHODS

from sgdflow.config.build import build_graph, build_method, expand_graph
from sgdflow.config.paths import prompt_folders
from sgdflow.config.schema import MethodConf
from sgdflow.data import Example
from sgdflow.errors import PromptError
from sgdflow.executor.backward import BackwardPass, backward_pass
from sgdflow.executor.backward_functions import PromptBackward
from sgdflow.executor.forward import ForwardPass, PromptForward, forward_pass
from sgdflow.executor.gradients import Gradient
from sgdflow.executor.graph import Graph
from sgdflow.executor.loss import PromptLoss, Reading, unread
from sgdflow.executor.places import View
from sgdflow.executor.tools import Shown, reply_schema
from sgdflow.executor.walk import Failure
from sgdflow.llm import Message
from sgdflow.llm.scripted import Request, ScriptedLLM
from sgdflow.prompting.ask import Ask
from sgdflow.prompting.replies import ReplyFormat
from sgdflow.prompting.schemas import Schema
from sgdflow.prompting.templates import Prompts
from sgdflow.prompting.values import is_short, shown
from sgdflow.update import Proposal, Situation, gather_evidence

GOLDEN = Path(__file__).parent / "golden"
UPDATE = bool(os.environ.get("SGDFLOW_UPDATE_GOLDEN"))
SHIPPED = prompt_folders(Path(os.devnull))

GRAPH = """
name: essay
inputs: [question]
parameters: {tone: Be brief.}
nodes:
  hint_1:
    predecessors: [question]
    parameters: {instruction: Name the zone.}
  hint_2:
    predecessors: [question]
    parameters: {instruction: Name the weight.}
  draft:
    predecessors: [question, hint_1, hint_2]
    parameters: {instruction: Add up the prices., tone: {shared: tone}}
  count:
    predecessors: [draft]
    forward: {_target_: test_prompts.count}
  answer:
    predecessors: [draft, count]
    parameters: {instruction: Give the total., tone: {shared: tone}}
output: answer
"""

Say = Callable[[str], str]
"""Gives the text of a variable, of a gradient ("answer to draft") or of a rewrite ("tone anew")."""


def count(text: str) -> Mapping[str, Any]:
    """Compute a value that is no text, for a code node."""
    return {"characters": len(text), "naïve": True, "text": text}


@dataclass(frozen=True)
class Recording(Prompts):
    """Templates that remember which variables they were given."""

    given: dict[str, set[str]] = field(default_factory=dict, hash=False, compare=False)

    def messages(self, name: str, variables: Mapping[str, Any]) -> tuple[Message, ...]:
        self.given.setdefault(name, set()).update(variables)
        return super().messages(name, variables)


@dataclass(frozen=True)
class Played:
    """One example that went through everything which shows a template."""

    graph: Graph
    prompts: Recording
    forward: ForwardPass
    feedback: Mapping[float, str]
    backward: BackwardPass
    proposal: Proposal
    requests: Sequence[Request]

    def sent(self, role: str, node: str, attempt: int = 0) -> tuple[Message, ...]:
        found = [r for r in self.requests if (r.role, r.node) == (role, node)]
        return found[attempt].messages


async def _play(say: Say, folders: tuple[Path, ...], **method: Any) -> Played:
    prompts = Recording(folders)
    graph = build_graph(expand_graph(yaml.safe_load(GRAPH)), prompts)
    conf = MethodConf.model_validate({"name": "any", **method})
    how = build_method(conf, graph, prompts)
    assert how.differentiation is not None

    def reply(role: str, node: str, messages: Sequence[Message]) -> str:
        asking = next(m.content for m in messages if m.role == "user")
        form = asking.rpartition("# How to reply")[2]
        if role == "backward":
            asked = re.findall(r'<([\w-]+) name="(\w+)">\.\.\.</\1>', form)
            said = [f'<{tag} name="{t}">{say(f"{node} to {t}")}</{tag}>' for tag, t in asked]
            return "\n".join(said)
        (tag,) = set(re.findall(r"</([\w-]+)>", form))
        if role == "forward" and node == "hint_2" and len(messages) < 3:
            return f"<{tag}>heavy</{tag}> or <{tag}>light</{tag}>"  # which of them?
        text = say(node) if role == "forward" else say(f"{node} anew")
        return f"Let me think.\n<{tag}>{text}</{tag}>"

    llm = ScriptedLLM(reply)
    example = Example("1", {"question": say("question")}, say("target"))
    start = {name: say(name) for name in graph.parameters}
    passed = await forward_pass(graph, start, example.id, example.inputs, llm)
    output = passed.values["answer"]
    loss = {score: await how.loss.feedback(example, output, score) for score in (0.0, 1.0)}
    feedback = {score: computed.value for score, computed in loss.items()}
    optimised = graph.optimisable
    back = await backward_pass(
        graph, start, passed, feedback[0.0], optimised, how.differentiation, llm
    )
    evidence = gather_evidence(graph, [passed], {"1": back}, optimised)
    proposal = await how.update.propose(Situation(graph, start, evidence, 1), llm)
    assert [*passed.failures, *back.failures, *proposal.skipped] == []
    return Played(graph, prompts, passed, feedback, back, proposal, llm.requests)


def play(say: Say, folders: tuple[Path, ...] = SHIPPED, **method: Any) -> Played:
    return asyncio.run(_play(say, folders, **method))


TEXTS = {
    "question": "Price this order. Zone: east. Weight: heavy.",
    "target": "19",
    "tone": "Be brief.",
    "hint_1.instruction": "Name the zone.",
    "hint_2.instruction": "Name the weight.",
    "draft.instruction": "Add up the prices.\nAssume 10 where one is missing.",
    "answer.instruction": "Give the total.",
    "hint_1": "east",
    "hint_2": "heavy, I assume 10",
    "draft": "7 + 10 = 17",
    "answer": "17",
    "answer to draft": "It should have come to 19.",
    "answer to count": "Nothing should change: it only counts.",
    "draft to hint_1": "Nothing should change: east is right.",
    "draft to hint_2": "It should have been 12.",
}


@cache
def joint() -> Played:
    return play(lambda name: TEXTS.get(name, f"({name})"), update={"max_characters": 400})


@cache
def edge() -> Played:
    backward = {"calls": "edge", "neighbors": False, "prompt": "backward/edge.jinja"}
    return play(lambda name: TEXTS.get(name, f"({name})"), backward=backward)


def chat(messages: Sequence[Message]) -> str:
    return "\n".join(f"=== {message.role}\n{message.content}" for message in messages)


def parts(**named: str) -> str:
    return "\n".join(f"=== {name}\n{text}" for name, text in named.items())


def reply_template(kind: str) -> str:
    prompts, form = Prompts(SHIPPED), ReplyFormat(kind, "gradient")  # type: ignore[arg-type]
    return parts(
        **{
            f"names: {', '.join(names) or 'none'}": prompts.text(
                form.template, {"reply": form.asking(names), "asks_for": "how it should change"}
            )
            for names in ((), ("hint_1",), ("hint_1", "hint_2"))
            if form.accepts(names)
        }
    )


def places() -> str:
    graph, prompts = joint().graph, Prompts(SHIPPED)
    views = {name: graph.view(name, graph.initial()) for name in graph.nodes}
    return parts(
        **{name: prompts.text("graph/place.jinja", {"node": view}) for name, view in views.items()}
    )


def from_code(played: Played) -> str:
    (text,) = [g.value for g in played.backward.gradients["draft"] if g.source == "count"]
    return str(text)


def of_field() -> str:
    return Prompts(SHIPPED).text("backward/field.jinja", FIELD)


FIELD: Mapping[str, Any] = {
    "node": View("triage.department", ("triage",), (), {}),
    "predecessors": shown({"triage": {"department": "billing", "urgency": 2}}),
    "output": "billing",
    "gradients": [Gradient("draft", "It should have been sales."), Gradient("loss", "Wrong.")],
}


def of_search(way: str) -> str:
    return Prompts(SHIPPED).text(f"backward/{way}.jinja", SEARCH)


SEARCH: Mapping[str, Any] = {
    "node": View("passages", ("query",), (), {}),
    "predecessors": shown({"query": "damage claim"}),
    "output": [{"document": "parcels.md", "text": "Damage has to be claimed at once."}],
    "gradients": [Gradient("answer", "It should say by when.")],
}


def with_tools() -> str:
    return chat(Prompts(SHIPPED).messages("forward/tools.jinja", TOOLS))


def with_an_example() -> str:
    return chat(Prompts(SHIPPED).messages("forward/taught.jinja", TAUGHT))


TAUGHT: Mapping[str, Any] = {
    "system": "You work carefully.",
    "instruction": "Answer the question.",
    "asked": "How many legs do three ants have?",
    "answered": "18.",
    "predecessors": shown({"question": "How many legs do two spiders have?"}),
    "reply": ReplyFormat("text", reasoning="none").asking([]),
}
TOOLS: Mapping[str, Any] = {
    "node": View("answer", ("question",), (), {}),
    "system": "You work carefully.",
    "parameters": {"instruction": "Answer the question."},
    "tools": [Shown("search", "words, count (optional)", "Finds passages.")],
    "predecessors": shown({"question": "By when?"}),
    "reply": ReplyFormat("json", schema=Schema(reply_schema(["search"]))).asking([]),
}


def of_tool() -> str:
    prompts = Prompts(SHIPPED)
    return parts(
        **{f"left: {n}": prompts.text("reply/tool.jinja", CALLED | {"left": n}) for n in (2, 0)}
    )


CALLED: dict[str, Any] = {
    "called": 'search(words="claim")',
    "result": "Within seven days.",
    "left": 0,
}


def losses() -> str:
    cut, raised = Failure("draft", "3 replies ...", (), "truncated"), Failure("count", "it raised")
    reading = {
        "read in it": Reading(True, "", "", "17", "a number", plain=False),
        "nothing read in it": Reading(True, "", "", None, "a number", plain=False),
        "cut off": unread(cut, "draft"),
        "raised before the output": unread(raised, "answer"),
    }
    loss, example = PromptLoss(Prompts(SHIPPED), "loss/expected.jinja"), Example("1", {}, "19")
    more = {
        name: asyncio.run(loss.feedback(example, "...", 0.0, None, one)).value
        for name, one in reading.items()
    }
    return parts(wrong=joint().feedback[0.0], right=joint().feedback[1.0], **more)


RENDERED: Mapping[str, Callable[[], str]] = {
    "forward/node.jinja": lambda: chat(joint().sent("forward", "draft")),
    "backward/passthrough.jinja": lambda: from_code(joint()),
    "backward/field.jinja": of_field,
    "backward/retrieval.jinja": lambda: of_search("retrieval"),
    "backward/embedded.jinja": lambda: of_search("embedded"),
    "forward/tools.jinja": with_tools,
    "forward/taught.jinja": with_an_example,
    "reply/tool.jinja": of_tool,
    "loss/expected.jinja": losses,
    "reply/again.jinja": lambda: chat(joint().sent("forward", "hint_2", attempt=1)[-2:]),
    "reply/tagged.jinja": lambda: reply_template("tagged"),
    "reply/numbered.jinja": lambda: reply_template("numbered"),
    "reply/json.jinja": lambda: reply_template("json"),
    "reply/text.jinja": lambda: reply_template("text"),
    "graph/place.jinja": places,
}
NAMES = Prompts(SHIPPED).names()


def golden(name: str) -> Path:
    return GOLDEN / f"{name.removesuffix('.jinja').replace('/', '-')}.txt"


@pytest.mark.parametrize("name", RENDERED)
def test_shipped_template_says_what_it_said(name: str) -> None:
    rendered = RENDERED[name]() + "\n"
    if UPDATE:
        GOLDEN.mkdir(exist_ok=True)
        golden(name).write_text(rendered, encoding="utf-8")
    assert rendered == golden(name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", RENDERED)
def test_headings_and_values_stand_apart(name: str) -> None:
    rendered = RENDERED[name]()
    assert re.findall(r".+\n# .+", re.sub(r"(?m)^=== .+\n", "\n", rendered)) == []
    assert re.findall(r"\S+ *<(?:variable|feedback|example|parameter)\b.*", rendered) == []
    assert re.findall(r"</(?:variable|feedback|example|parameter)> *\S+", rendered) == []
    assert re.findall(r"\n{4,}|[ \t]\n", rendered) == []


def parsed(name: str) -> nodes.Template:
    environment = Environment()
    own = ("quoted", "named", "some", "rest")
    environment.filters |= dict.fromkeys(own, str) | {"alike": list}
    environment.tests["short"] = is_short
    return environment.parse(Prompts(SHIPPED).source(name))


def has() -> Mapping[str, set[str]]:
    """Return the variables that each template has where it is used."""
    found = {name: set(variables) for name, variables in METHODS.values()}
    found["backward/field.jinja"] = {*FIELD}
    found["backward/retrieval.jinja"] = found["backward/embedded.jinja"] = {*SEARCH}
    found["forward/tools.jinja"] = {*TOOLS}
    found["forward/taught.jinja"] = {*TAUGHT}
    found["reply/tool.jinja"] = {*CALLED}
    for played in (joint(), edge()):
        for name, variables in played.prompts.given.items():
            found.setdefault(name, set()).update(variables)
    for form in ("tagged", "numbered", "json", "text"):
        found[f"reply/{form}.jinja"] = {"reply", "asks_for"}
    todo = list(found)
    while todo:
        name = todo.pop()
        tree = parsed(name)
        defined = {n.name for n in tree.find_all(nodes.Name) if n.ctx in ("store", "param")}
        included = [other for other in meta.find_referenced_templates(tree) if other]
        for other in included:
            found.setdefault(other, set()).update(found[name] | defined)
        todo += included
    return found


def test_every_template_is_used_and_kept_as_it_was_rendered() -> None:
    assert sorted(has()) == sorted(NAMES)
    assert sorted(golden(name) for name in RENDERED) == sorted(GOLDEN.iterdir())
    kept = {*RENDERED, *(name for name, _ in METHODS.values())}
    included = Prompts(SHIPPED).closure(kept)
    assert {*included} >= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_first_line_of_a_template_tells_its_variables(name: str) -> None:
    source = " ".join(Prompts(SHIPPED).source(name).split())
    opening = re.match(r"\{#-? (.+?)[.?] Variables: (.+?)\.\s*-?#\}", source)
    assert opening, "the template should open with {#- What it is for. Variables: a, b (...). -#}"
    told = set(re.sub(r"\([^)]*\)", "", opening[2]).replace(" ", "").split(","))
    used = meta.find_undeclared_variables(parsed(name)) - {"mark"}  # every template has it
    assert used <= told <= has()[name]


@pytest.mark.parametrize("kind", ["tagged", "numbered", "json"])
@pytest.mark.parametrize("names", [("hint_1",), tuple(f"hint_{i}" for i in range(1, 13))])
def test_a_reply_written_as_the_template_shows_is_read(kind: str, names: Sequence[str]) -> None:
    form = ReplyFormat(kind, "gradient")  # type: ignore[arg-type]
    asking = {"reply": form.asking(names), "asks_for": "each text"}
    shown = Prompts(SHIPPED).text(form.template, asking)
    if kind == "json":
        shown = shown[shown.index("\n") :]
    assert form.read(shown.replace("...", "said"), names) == dict.fromkeys(names, "said")


# Data is never code.


def values_in(played: Played) -> Mapping[str, Sequence[str]]:
    """Return each text that carries values, and the values that it must show as they are."""
    start = ["question", "hint_1", "hint_2", "draft.instruction", "tone"]
    shown = {
        "forward": (played.sent("forward", "draft"), start),
        "backward": (played.sent("backward", "draft"), [*start, "draft", "answer to draft"]),
        "rewrite": (
            played.sent("optimizer", "draft.instruction"),
            [*start[:-1], "draft", "answer to draft", "answer to count"],
        ),
        "code": (played.sent("backward", "answer"), ["draft", "answer", "target"]),
    }
    texts = {name: (messages[-1].content, names) for name, (messages, names) in shown.items()}
    texts["loss"] = (played.feedback[0.0], ["target"])
    texts["pass-through"] = (from_code(played), ["draft", "answer to count"])
    return {text: names for text, names in texts.values()}


HOSTILE = (
    "{{ 7*7 }} {% raise %} {# gone #} ${oc.env:HOME} {{ node.__class__ }} {0} %s \\n "
    '</variable> <variable name="tone"> </instruction>'
)


@settings(derandomize=True, deadline=None, database=None, max_examples=40)
@given(
    st.lists(
        st.sampled_from([*HOSTILE.split(" "), "\n", "{{", "}}", "{%", "%}", "{#", "#}", "é🙂"])
        | st.text(st.characters(codec="utf-8"), max_size=6),
        max_size=12,
    ).map(" ".join)
)
def test_values_come_out_as_they_are(words: str) -> None:
    def say(name: str) -> str:
        return f"[{name}: {HOSTILE} {words}]"

    played = play(say, update={"checks": False})
    for text, names in values_in(played).items():
        assert [name for name in names if say(name) not in text] == []
    rewritten = {name: say(f"{name} anew") for name in played.graph.optimisable}
    assert played.proposal.changes == rewritten


def test_a_learned_text_is_only_ever_a_value() -> None:
    learned = play(lambda name: "{{ 7*7 }}{% raise %}" if name.endswith("anew") else name)
    again = play(lambda name: str(learned.proposal.changes.get(name, name)))
    (_, user) = again.sent("forward", "draft")
    assert "<instruction>\n{{ 7*7 }}{% raise %}\n</instruction>" in user.content


def test_structured_values_are_shown_as_json() -> None:
    (_, user) = joint().sent("forward", "answer")
    assert '{"characters": 11, "naïve": true, "text": "7 + 10 = 17"}' in user.content


# Templates of one's own.


def write(folder: Path, files: Mapping[str, str | bytes]) -> Prompts:
    for name, text in files.items():
        path = folder / "prompts" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return Prompts(prompt_folders(folder))


def forward_messages(prompts: Prompts, prompt: str) -> Mapping[str, str]:
    conf = {**yaml.safe_load(GRAPH), "forward": {"prompt": prompt}}
    graph = build_graph(expand_graph(conf), prompts)
    llm = ScriptedLLM(lambda role, node, messages: "<output>x</output>")
    asyncio.run(forward_pass(graph, graph.initial(), "1", {"question": "Why?"}, llm))
    (request,) = [r for r in llm.requests if r.node == "draft"]
    return {message.role: message.content for message in request.messages}


NODE = "forward/node.jinja"


def test_own_template_overrides_one_block_of_the_shipped_one(tmp_path: Path) -> None:
    shipped = forward_messages(Prompts(SHIPPED), NODE)
    own = '{% extends "sgdflow/forward/node.jinja" %}{% block system %}Own.{% endblock %}'
    other_name = forward_messages(write(tmp_path / "a", {"mine.jinja": own}), "mine.jinja")
    same_name = forward_messages(write(tmp_path / "b", {NODE: own}), NODE)
    assert other_name == same_name == {"system": "Own.", "user": shipped["user"]}
    more = '{% extends "sgdflow/forward/node.jinja" %}{% block user %}{{ super() }}!{% endblock %}'
    kept = forward_messages(write(tmp_path / "c", {NODE: more}), NODE)
    assert kept == {**shipped, "user": shipped["user"] + "\n!"}


def test_own_template_wins_over_the_shipped_one_wherever_it_is_used(tmp_path: Path) -> None:
    prompts = write(tmp_path, {"reply/tagged.jinja": "Tag it: {{ reply.tag }}, {{ asks_for }}."})
    assert forward_messages(prompts, NODE)["user"].endswith(
        "# How to reply\n\nTag it: output, your output."
    )
    assert "reply/tagged.jinja" in prompts.names()
    assert sorted(prompts.names()) == sorted(NAMES)


def test_template_without_blocks_is_the_message_of_the_user(tmp_path: Path) -> None:
    prompts = write(
        tmp_path,
        {
            "plain.jinja": "\n{{ predecessors[0].value }}\n\n{{ reply.tag }}\n",
            "half.jinja": "{% block system %} {% endblock %}{% block user %}U{% endblock %}",
        },
    )
    assert forward_messages(prompts, "plain.jinja") == {"user": "Why?\n\noutput"}
    assert forward_messages(prompts, "half.jinja") == {"user": "U"}


# Mistakes in templates, found before anything is computed.


def unknown(place: str, name: str, hint: str = "", has: str = "") -> str:
    variables = f"hint_1, hint_2, instruction, mark, {has}node, parameters, predecessors"
    variables += ", question, reply, system"
    meant = f" Did you mean '{hint}'?" if hint else ""
    told = f"uses '{name}', which node 'draft' does not have.{meant} It has: {variables}, tone."
    return f"prompts/{place}: {told}"


Files = Mapping[str, str | bytes]
EXTENDS = "{% extends 'sgdflow/forward/node.jinja' %}\n"
FOR = " (for node 'draft')"
ENDLESS = (
    "prompts/{}: comes back to itself without end ({}). Take out one of these include, import or "
    "extends tags; the shipped template that a file of its name hides is sgdflow/NAME." + FOR
)
UNSAFE = "access to attribute '{}' of '{}' object is unsafe." + FOR
TOO_BIG = "Range too big. The sandbox blocks ranges larger than MAX_RANGE (100000)"
MISTAKES: Mapping[str, tuple[Files, Sequence[str]]] = {
    "unknown variable": (
        {"m.jinja": "{{ question }}\n{{ hint_3 }}"},
        [unknown("m.jinja, line 2", "hint_3", "hint_2")],
    ),
    "in branches that are not taken": (
        {"m.jinja": "{% if 0 %}\n{{ hidden }}\n{% endif %}\n{{ 1 if 1 else tonne }}"},
        [unknown("m.jinja, line 2", "hidden"), unknown("m.jinja, line 4", "tonne", "tone")],
    ),
    "in an included template": (
        {
            "m.jinja": "{% set mine = 1 %}\n{% include 'deep/er/part.jinja' %}",
            "deep/er/part.jinja": "{{ mine }}\n\n{{ zone }}",
        },
        [unknown("deep/er/part.jinja, line 3", "zone", "tone", has="mine, ")],
    ),
    "in a block of a shipped template": (
        {"m.jinja": EXTENDS + "{% block system %}{{ zone }}{% endblock %}"},
        [unknown("m.jinja, line 2", "zone", "tone")],
    ),
    "in a macro that is never called": (
        {"m.jinja": "{% macro show(text) %}\n{{ text }}{{ weight }}{% endmacro %}"},
        [unknown("m.jinja, line 2", "weight")],
    ),
    "of another prompt": (
        {"m.jinja": "{{ gradients }}"},
        [unknown("m.jinja, line 1", "gradients")],
    ),
    "unknown attribute": (
        {"m.jinja": "A\nB\n{{ node.nme }}"},
        [
            "prompts/m.jinja, line 3: there is no 'nme' here. Did you mean 'name'? There are: "
            "name, predecessors, successors, parameters, told, given, texts, behind, reasons, "
            "when, successes, more." + FOR
        ],
    ),
    "unknown attribute in an included template": (
        {
            "m.jinja": "{% include 'deep/er/part.jinja' %}",
            "deep/er/part.jinja": "A\n{{ parameters.instruktion }}",
        },
        [
            "prompts/deep/er/part.jinja, line 2: there is no 'instruktion' here. Did you mean "
            "'instruction'? There are: instruction, tone." + FOR
        ],
    ),
    "a predecessor of the list by its name": (
        {"m.jinja": "{{ predecessors.question }}"},
        [
            "prompts/m.jinja, line 1: 'question' is asked of a list, whose members are variables: "
            "question, hint_1, hint_2. One of them is written by its name alone, such as "
            "{{ question }}; a loop writes each: {% for one in predecessors %}{{ one.value }}"
            "{% endfor %}." + FOR
        ],
    ),
    "a template that extends itself": (
        {"m.jinja": "{% extends 'm.jinja' %}"},
        [ENDLESS.format("m.jinja", "m.jinja -> m.jinja")],
    ),
    "templates that include each other": (
        {"m.jinja": "A {% include 'part.jinja' %}", "part.jinja": "{% include 'm.jinja' %}"},
        [ENDLESS.format("m.jinja", "m.jinja -> part.jinja -> m.jinja")],
    ),
    "a template that imports itself, behind another one": (
        {"m.jinja": "{% include 'p.jinja' %}", "p.jinja": "{% import 'p.jinja' as p %}A"},
        [ENDLESS.format("p.jinja", "p.jinja -> p.jinja")],
    ),
    "no such predecessor": (
        {"m.jinja": "{{ predecessors[7].value }}"},
        ["prompts/m.jinja, line 1: list object has no element 7." + FOR],
    ),
    "missing template to extend": (
        {"forward/careful.jinja": "", "m.jinja": "{% extends 'forward/carefull.jinja' %}"},
        [
            "prompts/m.jinja, line 1: there is no template 'forward/carefull.jinja'."
            " Did you mean 'forward/careful.jinja'?"
        ],
    ),
    "a template of sgdflow's own, misspelt": (
        {"forward/nod.jinja": "", "m.jinja": "{% include 'sgdflow/forward/nod.jinja' %}"},
        [
            "prompts/m.jinja, line 1: there is no template 'sgdflow/forward/nod.jinja'."
            " Did you mean 'sgdflow/forward/node.jinja'?"
        ],
    ),
    "missing template of an included one": (
        {"m.jinja": "{% include 'a.jinja' %}", "a.jinja": "A\n{% include 'house.style' %}"},
        ["prompts/a.jinja, line 2: there is no template 'house.style'."],
    ),
    "syntax": (
        {"m.jinja": "A\n{% if %}"},
        ["prompts/m.jinja, line 2: Expected an expression, got 'end of statement block'"],
    ),
    "syntax of an included template": (
        {"m.jinja": "A\n{% include 'a.jinja' %}", "a.jinja": "A\n\n{{ question"},
        ["prompts/a.jinja, line 3: unexpected end of template, expected 'end of print statement'."],
    ),
    "unknown filter": (
        {"m.jinja": "A\n{{ question | shout }}"},
        ["prompts/m.jinja, line 2: No filter named 'shout'."],
    ),
    "wrong type": (
        {"m.jinja": "A\n{{ node.name + 1 }}"},
        ['prompts/m.jinja, line 2: TypeError: can only concatenate str (not "int") to str.' + FOR],
    ),
    "nothing": (
        {"m.jinja": "{# later #}\n{% block user %}{% endblock %}"},
        ["prompts/m.jinja: renders to nothing." + FOR],
    ),
    "not text": (
        {"m.jinja": b"caf\xe9"},
        ["prompts/m.jinja: is not UTF-8 text."],
    ),
    "unsafe attribute": (
        {"m.jinja": "A\n{{ node.__class__ }}"},
        ["prompts/m.jinja, line 2: " + UNSAFE.format("__class__", "View")],
    ),
    "unsafe attribute in a format": (
        {"m.jinja": "{{ '{0.__class__}'.format(node) }}"},
        ["prompts/m.jinja, line 1: " + UNSAFE.format("__class__", "View")],
    ),
    "change of a value": (
        {"m.jinja": "{{ predecessors.append(1) }}"},
        ["prompts/m.jinja, line 1: " + UNSAFE.format("append", "list")],
    ),
    "endless loop": (
        {"m.jinja": "{% for i in range(999999999) %}{% endfor %}"},
        [f"prompts/m.jinja, line 1: OverflowError: {TOO_BIG}." + FOR],
    ),
}  # fmt: skip


def forward_problems(prompts: Prompts, prompt: str) -> list[str]:
    (draft,) = [n for n in joint().graph.nodes.values() if n.name == "draft"]
    return list(PromptForward(Ask(prompts, prompt, "forward", ReplyFormat())).problems(draft))


@pytest.mark.parametrize("case", MISTAKES)
def test_mistake_is_told_with_its_template_and_line(case: str, tmp_path: Path) -> None:
    files, told = MISTAKES[case]
    assert forward_problems(write(tmp_path, files), "m.jinja") == told


def test_missing_template_is_told_with_the_folders_looked_in(tmp_path: Path) -> None:
    prompts = write(tmp_path, {"mine.jinja": "A"})
    (told,) = forward_problems(prompts, "sgdflow/forward/nod.jinja")
    assert "Did you mean 'sgdflow/forward/node.jinja'?" in told
    for wrong in ("mien.jinja", "../prompts/mine.jinja"):
        assert forward_problems(prompts, wrong) == [
            f"there is no template '{wrong}'. Did you mean 'mine.jinja'? "
            f"Looked in: {tmp_path / 'prompts'}, {SHIPPED[0]}."
        ]


def test_template_that_includes_itself_is_told(tmp_path: Path) -> None:
    prompts = write(tmp_path, {"m.jinja": "{% include 'm.jinja' %}"})
    assert "prompts/m.jinja: comes back to itself" in forward_problems(prompts, "m.jinja")[0]


def test_backward_template_is_checked_for_all_predecessors_or_for_one(tmp_path: Path) -> None:
    prompts = write(tmp_path, {"m.jinja": "{{ question }}{{ hint_1 }}{{ targets }}"})
    draft = joint().graph.nodes["draft"]
    ask = Ask(prompts, "m.jinja", "backward", ReplyFormat())
    assert list(PromptBackward(ask).problems(draft)) == []
    # Without neighbors a call knows only the one predecessor that it is about.
    (problem,) = PromptBackward(ask, per_edge=True, neighbors=False).problems(draft)
    assert problem.startswith("prompts/m.jinja, line 1: uses 'hint_1', which node 'draft'")


def test_value_that_a_template_cannot_use_is_told_while_running(tmp_path: Path) -> None:
    prompts = write(tmp_path, {"m.jinja": "A\n{{ word }}\n{{ word.upper() }}"})
    assert prompts.text("m.jinja", {"word": "x"}) == "A\nx\nX"
    with pytest.raises(PromptError) as told:
        prompts.text("m.jinja", {"word": 7})
    assert str(told.value) == "prompts/m.jinja, line 3: 'int object' has no attribute 'upper'."


def measure(question: str) -> Mapping[str, Any]:
    return {"words": [{"text": word} for word in question.split()], "total": len(question)}


def test_structured_value_of_a_code_node_can_be_taken_apart(tmp_path: Path) -> None:
    words = "{% for word in sizes.words %}<{{ word.text }}>{% endfor %}"
    template = "{{ sizes.total }} {{ sizes['total'] }} " + words
    prompts = write(tmp_path, {"m.jinja": template})
    nodes = {
        "sizes": {
            "predecessors": ["question"],
            "forward": {"_target_": f"{__name__}.measure"},
        },
        "answer": {"predecessors": ["sizes"], "forward": {"prompt": "m.jinja"}},
    }
    conf = {"name": "g", "inputs": ["question"], "nodes": nodes, "output": "answer"}
    graph = build_graph(expand_graph(conf), prompts)
    llm = ScriptedLLM(lambda role, node, messages: "<output>x</output>")
    asyncio.run(forward_pass(graph, graph.initial(), "1", {"question": "Why so?"}, llm))
    assert [m.content for m in llm.requests[0].messages] == ["7 7 <Why><so?>"]
