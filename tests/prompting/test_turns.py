"""What a template's blocks say reaches the model in their order, and nothing is dropped unsaid."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from sgdflow.config.compose import compose
from sgdflow.config.paths import prompt_folders
from sgdflow.config.prepare import prepare
from sgdflow.data.checks import unsendable
from sgdflow.prompting.marks import MARK
from sgdflow.prompting.templates import Prompts


def prompts(folder: Path, templates: Mapping[str, str]) -> Prompts:
    for name, text in templates.items():
        (folder / "prompts" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "prompts" / name).write_text(text)
    return Prompts(prompt_folders(folder))


def said(folder: Path, template: str, **variables: object) -> list[tuple[str, str]]:
    found = prompts(folder, {"x.jinja": template}).messages("x.jinja", variables)
    return [(message.role, message.content) for message in found]


def test_turns_come_in_their_order_whatever_that_of_the_file(tmp_path: Path) -> None:
    template = """
    {% block user_10 %}ten{% endblock %}{% block assistant_2 %}four{% endblock %}
    {% block user_2 %}three {{ q }}{% endblock %}{% block assistant %}two{% endblock %}
    {% block system %}zero{% endblock %}{% block user %}one{% endblock %}
    """
    assert said(tmp_path, template, q="{{ 7*7 }}") == [
        ("system", "zero"),
        ("user", "one"),
        ("assistant", "two"),
        ("user", "three {{ 7*7 }}"),
        ("assistant", "four"),
        ("user", "ten"),
    ]


TWICE = {
    "{% block user %}{{ q }}{% endblock %}": ("a", 1),
    "{% extends 'base.jinja' %}{% block task %}{{ q }}{% endblock %}": ("<a>", 1),
    "{% set b %}{% block user %}{{ q }}{% endblock %}{% endset %}"
    "{% block assistant %}{{ b }}{% endblock %}": ("a a", 2),
    "{% block user %}{{ q }}{% endblock %}{% set b = self.user() %}"
    "{% block assistant %}{{ b }}{% endblock %}": ("a a", 3),
    "{% macro m() %}{% block user %}{{ q }}{% endblock %}{% endmacro %}{% set b = m() %}"
    "{% block assistant %}{{ b }}{% endblock %}": ("a a", 2),
    "{% filter upper %}{% block user %}{{ q }}{% endblock %}{% endfilter %}": ("a", 1),
    "{{ q }}": ("a", 1),
}


@pytest.mark.parametrize("template", TWICE)
def test_a_turn_is_rendered_once_where_nothing_else_needs_its_text(
    tmp_path: Path, template: str
) -> None:
    class Counted:
        times = 0

        def __str__(self) -> str:
            self.times += 1
            return "a"

    counted, base = Counted(), "{% block user %}<{% block task %}{% endblock %}>{% endblock %}"
    found = prompts(tmp_path, {"x.jinja": template, "base.jinja": base})
    text = " ".join(one.content for one in found.messages("x.jinja", {"q": counted, MARK: ""}))
    assert (text, counted.times) == TWICE[template]


def test_marks_of_an_editor_are_no_part_of_a_prompt(tmp_path: Path) -> None:
    template = "{# asks #}\r\n{% block user %}Größe {{ q }}{% endblock %}\r\n"
    found = prompts(tmp_path, {"x.jinja": "", "y.jinja": "{% include 'x.jinja' %}"})
    (tmp_path / "prompts" / "x.jinja").write_bytes(b"\xef\xbb\xbf" + template.encode())
    for name in ("x.jinja", "y.jinja"):
        (message,) = found.messages(name, {"q": "\ufeffa"})
        assert message.content.strip() == "Größe \ufeffa"


def test_a_turn_that_renders_to_nothing_is_left_out(tmp_path: Path) -> None:
    template = (
        "{% block user %}{% if q %}one{% endif %}{% endblock %}{% block user_2 %}2{% endblock %}"
    )
    assert said(tmp_path, template, q=False) == [("user", "2")]


def test_a_template_that_extends_one_adds_turns_to_it(tmp_path: Path) -> None:
    own = prompts(
        tmp_path,
        {
            "base.jinja": "{% block system %}S{% endblock %}{% block user %}U{% endblock %}",
            "x.jinja": "{% extends 'base.jinja' %}{% block assistant %}A{% endblock %}"
            "{% block user_2 %}{{ super() if false else 'U2' }}{% endblock %}",
        },
    )
    assert list(own.problems("x.jinja", {}, "x")) == []
    assert [m.content for m in own.messages("x.jinja", {})] == ["S", "U", "A", "U2"]


CHAT = "{% block user %}Q{% endblock %}"
AT = "prompts/x.jinja, line"
TURNS = "Turns: system, user, assistant, user_2, assistant_2 and so on."
UNSENT: Mapping[str, tuple[str, Sequence[str]]] = {
    "a misspelt turn": (
        CHAT + "\n{% block assistent %}A{% endblock %}",
        [
            f"{AT} 2: the block 'assistent' is no turn of the chat: it is never sent. Did you mean "
            f"'assistant'? {TURNS}"
        ],
    ),
    "an unknown turn": (
        CHAT + "{% block tool %}A{% endblock %}",
        [f"{AT} 1: the block 'tool' is no turn of the chat: it is never sent. {TURNS}"],
    ),
    "text": (
        CHAT + "\n\nMind the zone!",
        [f"{AT} 3: 'Mind the zone!' beside the blocks is never sent."],
    ),
    "a value": ("{{ q }}\n" + CHAT, [f"{AT} 1: '{{{{ ... }}}}' beside the blocks is never sent."]),
    "a condition": (
        "{% if q %}\n" + CHAT + "{% endif %}",
        [
            f"{AT} 2: the block 'user' stands within {{% if %}}, which has no effect on it: put "
            "that into the block."
        ],
    ),
    "a loop of text": (
        CHAT + "{% for one in q %}\nx{% endfor %}",
        [f"{AT} 2: 'x' beside the blocks is never sent."],
    ),
    "an include": (
        CHAT + "{% include 'reply/again.jinja' ignore missing %}",
        [f"{AT} 1: what is included beside the blocks is never sent."],
    ),
    "text of one that extends": (
        "{% extends 'plain.jinja' %}\nMind the zone!",
        [f"{AT} 2: 'Mind the zone!' beside the blocks is never sent."],
    ),
    "a block that the extended one has not": (
        "{% extends 'plain.jinja' %}{% block more %}x{% endblock %}",
        [
            f"{AT} 1: the block 'more' stands in no template that this one extends: it is never "
            "sent."
        ],
    ),
}


@pytest.mark.parametrize(("template", "told"), UNSENT.values(), ids=UNSENT)
def test_what_would_never_be_sent_is_refused_by_name(
    template: str, told: Sequence[str], tmp_path: Path
) -> None:
    own = prompts(tmp_path, {"x.jinja": template, "plain.jinja": "{% block a %}{% endblock %}"})
    variables = {name: "x" for name in ("q", "reason", "truncated", "reply", "node")}
    found = [
        one for one in own.problems("x.jinja", variables, "x") if "which x does not" not in one
    ]
    assert [one for one in found if not one.endswith("(for x)")] == list(told)


SENT = {
    "a block within a turn": "{% block user %}{% block more %}Q{% endblock %}{% endblock %}",
    "a block that is named": "{% block user %}{{ self.more() }}{% endblock %}"
    "{% block more %}Q{% endblock %}",
    "what is set beside": "{# why #}{% set a = 1 %}{% macro m() %}x{% endmacro %}" + CHAT,
    "a whole without turns": "{% block more %}Q{% endblock %} and {{ q }}",
}


@pytest.mark.parametrize("template", SENT.values(), ids=SENT)
def test_what_reaches_the_model_is_not_refused(template: str, tmp_path: Path) -> None:
    own = prompts(tmp_path, {"x.jinja": template})
    problems = list(own.problems("x.jinja", {"q": "x"}, "x"))
    # A block that stands beside the turns is sent twice or not at all: only `self` decides.
    assert problems == []


def test_shipped_templates_drop_nothing() -> None:
    shipped = Prompts(prompt_folders(Path("nowhere")))
    for name in shipped.names():
        told = [one for one in shipped.problems(name, {}, "x") if "never sent" in one]
        assert told == [], name


def test_what_a_prompt_never_shows_is_said_once_when_a_run_begins(tmp_path: Path) -> None:
    template = "{% set asks_for = 'it' %}{{ question }} {% include reply.template %}"
    own = prompts(tmp_path, {"forward/own.jinja": template})
    words = ["graph=hints", "+graph.forward.prompt=forward/own.jinja", "task=table"]
    (tmp_path / "qa.jsonl").write_text(
        "".join(f'{{"question": "q{i}", "answer": "{i}"}}\n' for i in range(60))
    )
    words += [f"task.path={tmp_path}/qa.jsonl", "task.inputs=[question]", "task.target=answer"]
    prepared = prepare(compose([*words, "tracking=none", "llm=simulated"]), own, {})
    never = "prompts/forward/own.jinja never shows"
    assert [notice.text for notice in prepared.notices if "never shows" in notice.text] == [
        f"{never} instruction, of graph.nodes: hint_1, hint_2.",
        f"{never} hint_1, hint_2, instruction, of graph.nodes: answer.",
    ]
    plain = prepare(compose([*words[:1], *words[2:], "tracking=none", "llm=simulated"]), own, {})
    assert not [notice.text for notice in plain.notices if "never shows" in notice.text]


PICTURE = "data:image/png;base64," + "iVBORw0KGgo" * 40


@pytest.mark.parametrize(
    "value", [PICTURE, f"See ![]({PICTURE}).", [{"image_url": {"url": PICTURE}}]]
)
def test_a_picture_is_no_text(value: object) -> None:
    told = unsendable(value)
    assert told is not None
    assert told.startswith("a file as text (image/png, ")
    assert told.endswith(
        "letters); show an image as one (graph.nodes.NODE.forward.images), and leave out other "
        "files, or describe them in words"
    )


def test_a_picture_that_is_shown_as_one_is_sent() -> None:
    assert unsendable(PICTURE, image=True) is None
    assert unsendable([PICTURE], image=True) is not None


@pytest.mark.parametrize(
    "text",
    ["data:image/png;base64,iVBORw0KGgo=", "data:text/plain;base64," + "aGk=" * 99, "x" * 99],
)
def test_what_is_no_file_is_sent(text: str) -> None:
    assert unsendable(text) is None


BOMBS = {
    "{{ 'x' * 10 ** 9 }}": "what * makes is too large",
    "{{ [1] * 10 ** 9 }}": "what * makes is too large",
    "{{ 10 ** 99999999 }}": "what ** makes is too large",
    "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}": (
        "its loops go round more than 1,000,000 times"
    ),
    "{% for a in range(10 ** 9) %}{% endfor %}": "OverflowError: Range too big",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}": "a macro calls itself without end",
    "{% include 'x.jinja' %}": "comes back to itself without end (x.jinja -> x.jinja)",
    "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}": "cannot be compiled (RecursionError: ",
    "{% for a in q %}" * 30 + "{% endfor %}" * 30: (
        "cannot be compiled (SyntaxError: too many statically nested blocks"
    ),
    "{{ ''.__class__.__mro__ }}": "access to attribute '__class__' of 'str' object is unsafe",
    "{{ q.__init__.__globals__ }}": "access to attribute '__init__' of 'str' object is unsafe",
}


@pytest.mark.parametrize(("template", "told"), BOMBS.items(), ids=[t[:40] for t in BOMBS])
def test_a_template_of_anybody_has_bounds_and_reaches_nothing(
    template: str, told: str, tmp_path: Path
) -> None:
    own = prompts(tmp_path, {"x.jinja": template})
    began = time.process_time()
    (problem,) = own.problems("x.jinja", {"q": "xx"}, "x")
    assert problem.startswith("prompts/x.jinja")
    assert told in problem
    assert time.process_time() - began < 20


def test_loops_within_bounds_know_their_place_and_length(tmp_path: Path) -> None:
    place = "{{ loop.index }}/{{ loop.length }} {{ a * 2 }}{{ ', ' if not loop.last }}"
    template = "{% for a in q %}" + place + "{% endfor %}"
    assert said(tmp_path, template, q=("a", 3)) == [("user", "1/2 aa, 2/2 6")]
