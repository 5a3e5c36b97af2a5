"""What comes with a query and is no text of the prompt: turns before it, images beside it."""
# ruff: noqa: E501

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from sgdflow.config.build import build_graph, expand_graph
from sgdflow.config.compose import compose
from sgdflow.config.paths import prompt_folders
from sgdflow.config.prepare import prepare
from sgdflow.config.program import build_program
from sgdflow.data.images import data_url
from sgdflow.errors import ConfigError
from sgdflow.executor.backward import Differentiation, backward_pass
from sgdflow.executor.backward_functions import PromptBackward
from sgdflow.executor.forward import forward_pass
from sgdflow.executor.graph import Graph
from sgdflow.llm import Message, Usage
from sgdflow.llm.backend import KnowsSight
from sgdflow.llm.chat import parts
from sgdflow.llm.direct import DirectBackend
from sgdflow.llm.models import ModelSpec
from sgdflow.llm.providers import LitellmBackend
from sgdflow.llm.scripted import Said, ScriptedLLM
from sgdflow.prompting.ask import Ask, Call
from sgdflow.prompting.replies import ReplyFormat
from sgdflow.prompting.templates import Prompts
from sgdflow.records.details import _calls
from sgdflow.simulation.worlds import reply

PROMPTS = Prompts(prompt_folders(Path("nowhere")))
PNG = b"\x89PNG\r\n\x1a\n" + b"rest"
URL = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
TURNS = [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Hello."}]
GIVEN = {"photo": URL, "turns": TURNS, "question": "What is it?"}


def pictures() -> Graph:
    return build_graph(expand_graph(compose(["graph=pictures"])["graph"]), PROMPTS)


def team(role: str, node: str, messages: Sequence[Message]) -> Said:
    if role == "backward":
        return f'<gradient name="seen">{node}: look closer.</gradient>'
    return f"<output>by {node}</output>"


def test_turns_and_images_are_sent_in_their_places_and_gradients_pass_by() -> None:
    graph, llm = pictures(), ScriptedLLM(team)
    start, names = graph.initial(), graph.optimisable
    passed = asyncio.run(forward_pass(graph, start, "one", GIVEN, llm))
    assert passed.failures == {}
    seen, answer = llm.requests
    assert [(said.role, said.images) for said in seen.messages] == [
        ("system", ()),
        ("user", (URL,)),
    ]
    assert 'name="photo"' not in seen.messages[-1].content
    assert [said.role for said in answer.messages] == ["system", "user", "assistant", "user"]
    assert [said.content for said in answer.messages[1:3]] == ["Hi.", "Hello."]
    assert 'name="turns"' not in answer.messages[-1].content
    assert '<variable name="question">\nWhat is it?' in answer.messages[-1].content
    joint = Ask(PROMPTS, "backward/joint.jinja", "backward", ReplyFormat("tagged", "gradient"))
    how = Differentiation(PromptBackward(joint))
    back = asyncio.run(backward_pass(graph, start, passed, "Wrong.", names, how, llm))
    assert back.failures == {}
    assert [one.value for one in back.gradients["seen"]] == ["answer: look closer."]
    assert json.dumps(TURNS) in llm.requests[-1].messages[-1].content


def test_an_image_is_said_to_be_one_in_every_text() -> None:
    conf = {
        "name": "g",
        "inputs": ["photo"],
        "nodes": {
            "hint": {"predecessors": ["photo"], "parameters": {"instruction": "Hint."}},
            "answer": {"predecessors": ["photo", "hint"], "forward": {"images": ["photo"]}},
        },
        "output": "answer",
    }
    graph, llm = build_graph(expand_graph(conf), PROMPTS), ScriptedLLM(team)
    asyncio.run(forward_pass(graph, graph.initial(), "one", {"photo": URL}, llm))
    hint = llm.requests[0].messages[-1]
    assert '<variable name="photo">\n(an image)\n</variable>' in hint.content
    assert hint.images == ()


def test_other_images_are_other_requests_and_records_keep_digests() -> None:
    spec = ModelSpec("openai/gpt-4o-mini")
    plain, one, other = (Message("user", "?", images=i) for i in ((), (URL,), (f"{URL}AA",)))
    keys = [next(spec.requests([said], 0)).key for said in (plain, one, other, one)]
    assert len(set(keys)) == 3
    assert keys[1] == keys[3]
    call = Call("seen", "forward", (plain, one), "", Usage())
    first, second = _calls([call])[0]["messages"]
    assert "images" not in first
    assert second["images"] == [f"image/png, {sha256(URL.encode()).hexdigest()}"]
    assert parts(plain) == "?"
    assert parts(one) == [
        {"type": "text", "text": "?"},
        {"type": "image_url", "image_url": {"url": URL}},
    ]


@pytest.mark.parametrize("backend", [LitellmBackend, DirectBackend])
@pytest.mark.parametrize(
    ("model", "can"),
    [("openai/gpt-4o-mini", True), ("openai/gpt-3.5-turbo", False), ("openai/nobody-knows", False)],
)
def test_litellm_says_who_sees(backend: type[KnowsSight], model: str, can: bool) -> None:
    """Its table does, also where the model is asked without it."""
    assert backend().sees(ModelSpec(model)) is can


def test_who_cannot_see_is_shown_nothing_unless_declared() -> None:
    raw = {**compose(["graph=pictures"]), "llm": compose([])["llm"]}
    with pytest.raises(ConfigError) as refused:
        build_program(raw, PROMPTS)
    assert str(refused.value) == (
        "graph.nodes.seen.forward.images: simulated/worlds (llm.models.forward) is not known to see "
        "images. Choose a model that does, or, where yours does, say so: "
        "llm.models.forward.sees=true."
    )
    declared = compose(["graph=pictures", "+llm.models.forward.sees=true"])
    assert build_program(declared, PROMPTS).calling.models["forward"].sees is True


def test_files_and_data_urls_are_read_alike(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PNG)
    assert data_url("a.png", tmp_path) == data_url(str(tmp_path / "a.png"), Path("/")) == URL
    assert data_url(URL, tmp_path) == URL
    # What it holds counts, not what it is called.
    (tmp_path / "b.png").write_bytes(b"\xff\xd8\xff\xe0")
    assert data_url("b.png", tmp_path).startswith("data:image/jpeg;base64,")


def test_a_file_of_the_project_is_shown_as_what_it_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node whose file has gone since asks nobody, and says which it was."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.png").write_bytes(PNG)
    graph = pictures()
    for name, shown in (("photos/a.png", (URL,)), ("photos/b.png", None)):
        llm, given = ScriptedLLM(team), {**GIVEN, "photo": name}
        passed = asyncio.run(forward_pass(graph, graph.initial(), "one", given, llm))
        if shown:
            assert llm.requests[0].messages[-1].images == shown
        else:
            assert "'photo' is 'photos/b.png', which cannot be read" in str(passed.failures["seen"])
            assert llm.requests == []


EXPECTED = "not a file or a data URL (data:image/png;base64,...) of a PNG, JPEG, GIF or WebP image"


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (3, f"is 3, {EXPECTED}"),
        ("", f"is '', {EXPECTED}"),
        ("http://x/a.png", f"is the address 'http://x/a.png', {EXPECTED}"),
        ("data:text/plain,x", f"is the address 'data:text/plain,x', {EXPECTED}"),
        ("data:image/png;base64,?", "is a data URL that cannot be decoded (Only base64 data is allowed)"),
        ("data:image/png;base64,AAAA", "is 'data:image/png;base64,AAAA', which holds no PNG, JPEG, GIF or WebP image"),
        ("text.md", "is 'text.md', which holds no PNG, JPEG, GIF or WebP image"),
    ],
)  # fmt: skip
def test_what_is_no_image_is_told(value: Any, told: str, tmp_path: Path) -> None:
    (tmp_path / "text.md").write_text("secret")
    with pytest.raises(ValueError, match=r".") as refused:
        data_url(value, tmp_path)
    assert str(refused.value) == told


def table(tmp_path: Path, rows: Sequence[Mapping[str, Any]], *words: str) -> Any:
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = ["graph=pictures", "task=table", "task.path=rows.jsonl", "task.target=a"]
    given += ["task.inputs=[photo, turns, question]", "tracking=none"]
    given += ["task.splits={train: 1, validation: 0, test: null}"]
    given += ["+llm.models.forward.sees=true", "method=no_gate", *words]
    return prepare(compose(given), PROMPTS, {})


def test_every_example_is_looked_at_before_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    right = {**GIVEN, "a": "A"}
    assert table(tmp_path, [right] * 3).problem.graph.output == "answer"
    wrong = [
        {**right, "photo": "gone.png"},
        {**right, "turns": "Hi."},
        {**right, "turns": [{"role": "system", "content": "Obey."}]},
        {**right, "turns": [{"role": "user"}]},
    ]
    with pytest.raises(ConfigError) as refused:
        table(tmp_path, [right, *wrong])
    told = str(refused.value)
    assert (
        "task.data: rows.jsonl, line 2: 'photo' is 'gone.png', which cannot be read: "
        "No such file or directory (graph.nodes.seen.forward)."
    ) in told
    assert (
        "task.data: rows.jsonl, line 4: 'turns' has a turn 1 of the role 'system'; there are user, "
        "assistant (graph.nodes.answer.forward)."
    ) in told
    assert "line 3: 'turns' is 'Hi.', no list of turns, such as [" in told
    assert "line 5: 'turns' has a turn 1 without a content that is a text, such as [" in told


@pytest.mark.parametrize(
    ("key", "name", "told"),
    [
        ("history", "trns", "'trns' is to be shown, and is no predecessor of the node. Did you mean 'turns'? Predecessors: turns, hint."),
        ("history", "hint", "history: 'hint' is computed; only inputs of the graph can be shown so. Inputs: turns."),
        ("images", ["hint"], "images: 'hint' is computed; only inputs of the graph can be shown so. Inputs: turns."),
    ],
)  # fmt: skip
def test_mistakes_are_told(key: str, name: Any, told: str) -> None:
    nodes = {
        "hint": {"predecessors": ["turns"]},
        "answer": {"predecessors": ["turns", "hint"], "forward": {key: name}},
    }
    conf = {"name": "g", "inputs": ["turns"], "nodes": nodes, "output": "answer"}
    with pytest.raises(ConfigError) as refused:
        build_graph(expand_graph(conf), PROMPTS)
    joint = ": " if told.startswith("'") else "."
    assert str(refused.value) == f"graph.nodes.answer.forward{joint}{told}"


def test_simulated_models_answer_what_is_asked_after_the_turns() -> None:
    order = "Price this order. Weight: light."
    asked = (
        "<instruction>\nPrice the weight. Weight light costs 7.\n</instruction>\n"
        f'<variable name="o">\n{order}\n</variable>\n\n# How to reply\n\nThe whole reply.'
    )
    turns = [Message("user", "Hi."), Message("assistant", "Hello.")]
    assert reply([*turns, Message("user", asked)], 0) == reply([Message("user", asked)], 0)
