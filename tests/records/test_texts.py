"""Each long text is written once in a run's folder, and comes back whole wherever it is shown."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thousand import declared

from sgdflow.config.compose import compose
from sgdflow.config.paths import prompt_folders
from sgdflow.config.prepare import prepare
from sgdflow.errors import ConfigError
from sgdflow.llm import Message
from sgdflow.llm.scripted import ScriptedLLM
from sgdflow.prompting.templates import Prompts
from sgdflow.records import RunFolder, as_json
from sgdflow.records.pieces import LEAST, cut
from sgdflow.records.source import read_steps
from sgdflow.runs.run import optimise
from sgdflow.tracking import NullTracker

ROLES = ("forward", "backward", "optimizer")
FILES = ("steps.jsonl", "calls.jsonl", "examples.jsonl", "texts.jsonl")
WORDS = (
    "task=tariff", "tracking=none", "method.stop.steps=1", "method.sample.count=1",
    "method.confirm=null",
    "task.splits={train: 2, validation: 0, test: 1}", "method.proposals.fallback=false",
)  # fmt: skip


def said(role: str, node: str, messages: Sequence[Message]) -> str:
    """Answer each prompt with texts of its own, of which none is like another."""
    prompt = str(messages[-1].content)
    if role == "forward":
        return f"<output>{told(f'value of {node}', prompt)}</output>"
    names = re.findall(r'<gradient name="(\w+)">', prompt)
    found = [f'<gradient name="{one}">CHANGE: {told(one, node)}</gradient>' for one in names]
    return "\n".join(found) or f"<improved>{told(f'text of {node}', prompt)}</improved>"


def told(name: str, why: str) -> str:
    """Return several paragraphs with tags in them, short and long."""
    words = sha256(f"{name} {why}".encode()).hexdigest()
    items = "".join(f"<li>{words[i : i + 9]}</li>\n" for i in range(12))
    return f"{name}: {words}\n\n<ul>\n{items}</ul>\n<br>\nIn all: {' '.join(words)} {name}."


def graph(kind: str, count: int) -> Mapping[str, Any]:
    return {**declared(kind, count)}


def run(folder: Path, kind: str, count: int) -> ScriptedLLM:
    raw = {**compose([*WORDS]), "graph": graph(kind, count)}
    ready = prepare(raw, Prompts(prompt_folders(Path("nowhere"))), {})
    llm = ScriptedLLM(said)
    asyncio.run(optimise(ready, raw, llm, NullTracker(), RunFolder(folder)))
    return llm


def test_what_several_prompts_show_is_written_once_and_read_back_whole(tmp_path: Path) -> None:
    llm = run(tmp_path, "layered", 30)
    [step], [calls] = (read_steps(tmp_path / name) for name in FILES[:2])
    [learned] = step["sampled"]
    texts = [text for text in learned["values"].values() if len(text) >= LEAST]
    texts += [one["value"] for found in learned["gradients"].values() for one in found]
    texts = [text for text in (*texts, *step["proposal"].values()) if "In all" in text]
    assert len({*texts}) == len(texts) > 200
    prompts = [str(message.content) for one in llm.requests for message in one.messages]
    assert sum(text in prompt for text in texts for prompt in prompts) > 3 * len(texts)
    files = [file for file in tmp_path.iterdir() if file.name != "report.html"]
    written = "".join(file.read_text("utf-8") for file in files)
    assert {written.count(text[text.index("In all") :]) for text in texts} == {1}
    asked = {role: {one.messages for one in llm.requests if one.role == role} for role in ROLES}
    for role in ROLES:
        kept = {contents(one["messages"]) for one in made(calls) if one["role"] == role}
        sent = {tuple(str(message.content) for message in one) for one in asked[role]}
        assert kept == sent if role != "forward" else kept < sent
    assert {one["reply"] for one in made(calls) if one["role"] == "forward"} == {
        f"<output>{learned['values'][name]}</output>" for name in graph("layered", 30)["nodes"]
    }


def contents(messages: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    return tuple(message["content"] for message in messages)


def made(calls: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    sides = [one[side] for one in calls["examples"] for side in ("forward", "backward")]
    return [
        call for side in (*sides, calls["updates"]) for found in side.values() for call in found
    ]


@pytest.mark.parametrize("kind", ["chain", "wide"])
def test_twice_the_nodes_take_twice_the_room(kind: str, tmp_path: Path) -> None:
    sizes = []
    for count in (60, 120):
        run(tmp_path / str(count), kind, count)
        sizes.append(sum((tmp_path / str(count) / name).stat().st_size for name in FILES))
    assert sizes[1] < 2.1 * sizes[0]


@pytest.mark.long
@pytest.mark.timeout(600)
def test_each_layer_takes_the_same_room(tmp_path: Path) -> None:
    sizes = []
    for count in (40, 80, 120):
        run(tmp_path / str(count), "layered", count)
        sizes.append(sum((tmp_path / str(count) / name).stat().st_size for name in FILES))
    assert sizes[2] - sizes[1] < 1.05 * (sizes[1] - sizes[0])


PIECES = (
    "<variable name=\"a\">\n", "\n</variable>", "<b>", "</b>", "<c-ab12>", "</c-ab12>", "<br>",
    "</", "<", ">",
    "\n", "\r\n", "\n\n", " ", "\u2028", "\x85", "\x00", "\ud83d", "\ude00",
    "ä" * 70, "word " * 50, "x" * 210,
    "a\nb\n" * 60, "name, " * 600, "$text", "0123456789abcdef",
)  # fmt: skip
TEXT = st.lists(st.sampled_from(PIECES), max_size=30).map("".join)
VALUE = st.recursive(
    TEXT | st.integers() | st.none(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "text", "$text", "parts"]), inner, max_size=2)
    ),
    max_leaves=8,
)


@given(TEXT)
@settings(max_examples=300, deadline=None)
def test_the_pieces_of_any_text_are_the_text(text: str) -> None:
    assert "".join(piece for piece, _ in cut(text)) == text


@given(st.lists(st.fixed_dictionaries({"a": VALUE, "b": VALUE}), max_size=4))
@settings(max_examples=150, deadline=None)
def test_whatever_is_recorded_comes_back(records: list[dict[str, Any]]) -> None:
    with TemporaryDirectory() as place:
        folder = RunFolder(Path(place))
        folder.begin({}, {})
        for record in records:
            folder.append(record, {"calls": record})
        folder.keep_examples(lambda: records)
        expected = [json.loads(as_json(record)) for record in records]
        assert read_steps(folder.path / "steps.jsonl") == expected
        assert read_steps(folder.path / "calls.jsonl") == [{"calls": one} for one in expected]
        assert read_steps(folder.path / "examples.jsonl") == expected
        lines = (folder.path / "texts.jsonl").read_bytes().splitlines()
        rows = [json.loads(line) for line in lines]
        assert len({row["id"] for row in rows}) == len(rows)


def test_tags_without_end_are_cut_in_linear_time() -> None:
    for text in (
        "<a>" * 200_000,
        "<a>" * 50_000 + "</b>" * 50_000,
        "<a><b>" * 50_000 + "</a>" * 50_000,
    ):
        assert "".join(piece for piece, _ in cut(text)) == text


RECORDS = [{"step": i, "text": f"{i} " * 300, "same": "word " * 300} for i in range(3)]


def folder_of(path: Path) -> RunFolder:
    folder = RunFolder(path)
    folder.begin({}, {})
    return folder


def test_a_kill_at_any_write_leaves_no_reference_to_what_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(folder: RunFolder) -> None:
        for record in RECORDS:
            folder.append(record, {"calls": [record]})
        folder.keep_examples(lambda: [{**one, "more": "other " * 300} for one in RECORDS])

    def left(path: Path) -> dict[str, bytes]:
        return {file.name: file.read_bytes() for file in path.iterdir()}

    write(folder_of(tmp_path / "whole"))
    whole, usual = left(tmp_path / "whole"), Path.open
    for moment in range(11):
        folder, opened = folder_of(tmp_path / "killed"), 0

        def dying(file: Path, *said: Any, most: int = moment, **more: Any) -> Any:
            nonlocal opened
            opened += 1
            if opened > most:
                raise KeyboardInterrupt
            return usual(file, *said, **more)

        monkeypatch.setattr(Path, "open", dying)
        with pytest.raises(KeyboardInterrupt):
            write(folder)
        monkeypatch.setattr(Path, "open", usual)
        steps, calls = (read_steps(tmp_path / "killed" / name) for name in FILES[:2])
        assert [*steps] == RECORDS[: len(steps)]
        assert [one["calls"][0] for one in calls] == RECORDS[: len(calls)]
        assert len(steps) - len(calls) in (0, 1)
    assert len(steps) == len(RECORDS)
    write(folder_of(tmp_path / "killed"))
    assert left(tmp_path / "killed") == whole
    folder_of(tmp_path / "killed")
    assert not (tmp_path / "killed" / "examples.jsonl").exists()


def test_texts_that_cannot_be_written_are_caught_up_with(tmp_path: Path) -> None:
    folder, file = folder_of(tmp_path), tmp_path / "texts.jsonl"
    folder.append(RECORDS[0], {})
    kept = file.read_bytes()
    file.unlink()
    file.mkdir()
    folder.append(RECORDS[1], {})
    folder.keep_examples(lambda: RECORDS)
    assert not (tmp_path / "examples.jsonl").exists()
    file.rmdir()
    file.write_bytes(kept)
    folder.append(RECORDS[2], {})
    assert read_steps(tmp_path / "steps.jsonl") == RECORDS
    assert read_steps(tmp_path / "examples.jsonl") == RECORDS


def test_an_earlier_run_is_read_as_it_is(tmp_path: Path) -> None:
    record = {"format": 1, "text": "word " * 300, "value": {"$text": "0123456789abcdef"}}
    (tmp_path / "steps.jsonl").write_text(json.dumps(record) + "\n")
    assert read_steps(tmp_path / "steps.jsonl") == [record]


def lines_of(*rows: Mapping[str, Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def known(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:16]


LONG = "word " * 300
DEEP: list[dict[str, Any]] = [{"id": known(LONG), "text": LONG}]
for _ in range(40):  # each is twice the one before
    DEEP.append({"id": f"{len(DEEP):016x}", "parts": [[DEEP[-1]["id"]], [DEEP[-1]["id"]]]})


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (
            None,
            r"There is no .*texts\.jsonl, which has texts that .*steps\.jsonl, line 1 refers to",
        ),
        (
            "",
            r"texts\.jsonl has no text \w{16}, to which .*steps\.jsonl, line 1 refers: it was cut",
        ),
        (lines_of(DEEP[0])[:-1], r"texts\.jsonl has no text \w{16}, to which .*line 1 refers"),
        ("\n" + lines_of(DEEP[0]), r"texts\.jsonl, line 1 cannot be read: no text stands there"),
        (
            lines_of({**DEEP[0], "text": LONG + "more"}),
            r"texts\.jsonl, line 1: the text \w{16} is not the one that was written there",
        ),
        (lines_of({**DEEP[0], "text": 7}), r"texts\.jsonl, line 1: the text \w{16} is not the one"),
        (
            lines_of({"id": known(LONG), "parts": [["0123456789abcdef"]]}),
            r"has no text 0123456789abcdef, to which .*texts\.jsonl, line 1 refers",
        ),
        (
            lines_of({"id": known(LONG), "parts": [[known(LONG)]]}),
            r"line 1: the text \w{16} is not",
        ),
    ],
)
def test_missing_and_damaged_texts_are_told(
    tmp_path: Path, texts: str | None, message: str
) -> None:
    (tmp_path / "steps.jsonl").write_text(lines_of({"format": 2, "a": {"$text": known(LONG)}}))
    if texts is not None:
        (tmp_path / "texts.jsonl").write_text(texts)
    with pytest.raises(ConfigError, match=message):
        read_steps(tmp_path / "steps.jsonl")


def test_texts_within_texts_do_not_grow_without_bounds(tmp_path: Path) -> None:
    (tmp_path / "steps.jsonl").write_text(lines_of({"format": 2, "a": {"$text": DEEP[-1]["id"]}}))
    (tmp_path / "texts.jsonl").write_text(lines_of(*DEEP))
    with pytest.raises(
        ConfigError, match=r"texts\.jsonl, line \d+: the text \w{16} is not the one"
    ):
        read_steps(tmp_path / "steps.jsonl")
