"""What the report makes of a run directory; how it looks is tested in a browser."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from run_directories import Directory

from sgdflow.config.build import build_graph, expand_graph
from sgdflow.config.compose import compose
from sgdflow.config.paths import prompt_folders
from sgdflow.errors import ConfigError, spelt_out
from sgdflow.executor.backward import BackwardPass
from sgdflow.executor.forward import ForwardPass
from sgdflow.executor.gradients import Gradient
from sgdflow.executor.intervention import Intervention
from sgdflow.prompting.templates import Prompts
from sgdflow.report import NAME, write
from sgdflow.report.findings import blame, flags, histories, lines
from sgdflow.report.page import as_html, as_script, element, page, shipped
from sgdflow.report.page_data import Texts, shares
from sgdflow.report.reading import Run, Shape, read, shape_of
from sgdflow.update import Item, Select, gather_evidence
from sgdflow.update.evidence import weighed

HOSTILE = st.text(
    st.sampled_from("</script>!-&{}$7*\u2028\u2029\u202e\x00\ud800é\\\"'"), max_size=30
)


def declared(raw: Any) -> Any:
    return raw


def made(path: Path, *accepted: bool, ended: bool = True) -> tuple[Run, Shape]:
    directory = Directory(path)
    steps = [directory.step(i, 2, accepted=a) for i, a in enumerate(accepted, start=1)]
    run = read(directory.write(steps, [], examples=30 if ended else 0))
    return run, shape_of(run.config["graph"])


def embedded(text: str, name: str = "data") -> Any:
    found = re.search(rf'<script type="application/json" id="{name}">(.*?)</script>', text, re.S)
    assert found
    return json.loads(found[1])


@given(st.recursive(HOSTILE, lambda inner: st.dictionaries(HOSTILE, inner, max_size=3)))
def test_embedded_data_is_no_markup_and_reads_back(data: Any) -> None:
    text = page("</title><b>", [], data, None)
    clean = json.loads(json.dumps(data).replace("\\ud800", "\\ufffd"))
    assert embedded(text) == clean
    assert not re.search("[<>&\u2028\u2029]", as_script(data))
    assert text.count("<b>") == 0
    text.encode()


def test_run_that_was_stopped_has_a_report(tmp_path: Path) -> None:
    run, _ = made(tmp_path / "run", True, False, ended=False)
    with (tmp_path / "run" / "steps.jsonl").open("a") as file:
        file.write('{"format": 1, "step": 3, "sco')
    text = write(run.folder, declared).read_text(encoding="utf-8")
    assert "Not finished: this is what 2 steps left." in text
    assert "Missing here: the last line of steps.jsonl." in text
    assert "<td>backward</td>" in text
    assert ">unknown</td>" in text
    assert not embedded(text)["ended"]


def test_run_that_ended_says_how(tmp_path: Path) -> None:
    made(tmp_path, True, False)
    out = tmp_path / "elsewhere.html"
    assert write(tmp_path, declared, out) == out
    assert not (tmp_path / NAME).exists()
    text = out.read_text(encoding="utf-8")
    assert "Stopped after 2 steps, 1 accepted, 1.0 s. Steps: text." in text
    assert "0.300 → 0.600" in text
    assert "0.20 to 0.40 → 0.50 to 0.70, 10 examples" in text
    assert [cost for cost in ("$0.2500", "unknown") if cost in text] == ["$0.2500", "unknown"]
    worst = embedded(text)["examples"]
    assert [one["split"] == "test" for one in worst] == [False] * 20 + [True] * 10


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("config.yaml", None, "is not a run directory: it has no config.yaml"),
        (
            "steps.jsonl",
            '{"format": 7}\n',
            "line 1: its format is 7, this version of sgdflow reads 1 to 2",
        ),
        ("steps.jsonl", "{\n", "steps.jsonl, line 1 cannot be read"),
        ("config.yaml", "{", "config.yaml cannot be read"),
    ],
)
def test_what_cannot_be_read_is_named(
    tmp_path: Path, file: str, content: str | None, message: str
) -> None:
    made(tmp_path, True)
    (tmp_path / file).unlink()
    if content is not None:
        (tmp_path / file).write_text(content)
    with pytest.raises(ConfigError, match=message):
        write(tmp_path, declared)


def test_blame_is_what_the_update_rule_counts(tmp_path: Path) -> None:
    directory = Directory(tmp_path, depth=3)
    step = directory.step(1, 4)
    for i, sampled in enumerate(step["sampled"]):
        for node in list(sampled["gradients"])[: i + 1]:
            sampled["gradients"][node] = [{"source": "answer", "value": "Nothing should change: "}]
    del step["sampled"][3]["gradients"]["step_1_1"]
    shape = shape_of(read(directory.write([step], [])).config["graph"])
    evidence = {
        name: tuple(
            Item(
                sampled["example"],
                name,
                dict.fromkeys(member.predecessors, ""),
                "",
                tuple(Gradient(**g) for g in sampled["gradients"].get(name, ())),
            )
            for sampled in step["sampled"]
        )
        for name, member in shape.nodes.items()
    }
    select = Select("blamed")
    found = blame(shape, [step], {})
    before = {name: member.predecessors for name, member in shape.nodes.items()}
    assert {name: one.blamed for name, one in found.items()} == select.blame(evidence, before)
    assert 0 < found["step_1_2"].blamed < 4
    assert found["step_1_1"].gradients == 3
    [shown] = embedded(write(tmp_path, declared).read_text(encoding="utf-8"))["steps"]
    arrived = [sampled["gradients"]["step_1_2"] for sampled in shown["sampled"]]
    assert [asks for [(_, _, asks)] in arrived] == [True, False, False, False]


def test_a_trial_is_shown_with_its_value_and_what_came_of_it(tmp_path: Path) -> None:
    directory = Directory(tmp_path)
    step, node = directory.step(1, 2), next(iter(directory.nodes))
    made = {"node": node, "before": 0.0, "together": False}
    wrote = {**made, "value": "as asked", "after": 0.0, "verdict": "nearer", "failure": None}
    failed = {**made, "value": None, "after": None, "verdict": "untested", "failure": "no tags"}
    for sampled, trial in zip(step["sampled"], (wrote, failed), strict=True):
        sampled["trials"] = [trial]
    directory.write([step], [])
    data = embedded(write(tmp_path, declared).read_text(encoding="utf-8"))
    found = [one["trials"][node] for one in data["steps"][0]["sampled"]]
    assert [(before, after, verdict) for _, before, after, verdict in found] == [
        (0.0, 0.0, "nearer"),
        (0.0, None, "untested"),
    ]
    assert len({text for text, *_ in found}) == 2


FIELD = "triage.department"
FINE, DOUBT = "KEEP: right.", "Unsure, it may be billing."
SAID: Sequence[Mapping[str, Sequence[tuple[str, str]]]] = [
    # Passed on through the field, to the node that wrote it.
    {"draft": [("answer", "Wrong.")], FIELD: [("draft", "Sales.")], "triage": [(FIELD, "Sales.")]},
    # Not passed on: the field is right.
    {"draft": [("answer", "Wrong.")], FIELD: [("draft", FINE)], "triage": [(FIELD, FINE)]},
    # What it says of itself is passed on by nobody.
    {
        "draft.instruction": [("draft", "It greets nobody.")],
        "draft": [("answer", "Wrong.")],
        FIELD: [("draft", "Sales.")],
        "triage": [(FIELD, "Sales."), ("answer", FINE)],
    },
    # Nobody before the output is asked for a change.
    {"draft": [("answer", DOUBT)], "triage": [("answer", FINE)]},
]


@pytest.mark.parametrize(
    ("optimised", "blamed"),
    [
        (None, {"triage": 2, "draft": 2, "answer": 1}),
        (["triage.instruction", "draft.instruction"], {"triage": 2, "draft": 2}),
        # Through the draft, which cannot be blamed, the second stays with the answer.
        (["triage.instruction", "answer.instruction"], {"triage": 2, "answer": 2}),
    ],
)
def test_blame_is_the_same_through_fields_with_own_parts_and_doubts(
    optimised: list[str] | None, blamed: Mapping[str, int]
) -> None:
    declared = expand_graph(compose(["graph=triage"])["graph"])
    graph = build_graph(declared, Prompts(prompt_folders(Path("nowhere"))))
    names, select = optimised or graph.optimisable, Select("blamed", undecided=("unsure",))
    values = dict.fromkeys((*graph.inputs, *graph.nodes), "...")
    gradients = [
        {
            name: tuple(Gradient(source, value) for source, value in given)
            for name, given in {"answer": [("loss", "Wrong.")], **said}.items()
            if name not in graph.parameters or name in names
        }
        for said in SAID
    ]
    forward = [ForwardPass(f"{i}", values, {}, {}) for i in range(len(SAID))]
    backward = {f"{i}": BackwardPass(f"{i}", one, {}, {}, {}) for i, one in enumerate(gradients)}
    evidence = gather_evidence(graph, forward, backward, names)
    counted = select.blame(evidence, graph.learning_before(names))
    assert counted == {f"{name}.instruction": count for name, count in blamed.items()}

    step: dict[str, Any] = {
        "sampled": [
            {"gradients": {name: [asdict(g) for g in given] for name, given in one.items()}}
            for one in gradients
        ]
    }
    update = {"parameters": optimised, "select": {"undecided": ["unsure"]}}
    shape, config = shape_of(declared.model_dump(by_alias=True)), {"method": {"update": update}}
    found = blame(shape, [step], config)
    assert {name: found[name].blamed for name in blamed} == blamed

    tried = [Intervention("0", "triage", 0.0, "x", 0.0), Intervention("2", "draft", 0.5, "x", 0.0)]
    for trial in tried:
        step["sampled"][int(trial.example)]["trials"] = [asdict(trial) | {"verdict": trial.verdict}]
    found = blame(shape, [step], config)
    fewer = select.blame(weighed(evidence, tried, "show"), graph.learning_before(names))
    assert {f"{name}.instruction": found[name].blamed for name in blamed} == fewer
    assert fewer["triage.instruction"] == blamed["triage"] - 1
    if "draft" in blamed:  # the first stays with it, and what it said of itself is refuted
        assert fewer["draft.instruction"] == blamed["draft"] + 1 - 1


def test_history_compares_each_proposal_with_the_text_it_would_replace(tmp_path: Path) -> None:
    run, shape = made(tmp_path, False, True, True)
    history = histories(shape, run)["answer.instruction"]
    assert history.start == "text final"
    assert [one.parts for one in history.proposed] == [
        (("equal", "text"), ("delete", " final"), ("insert", " 1")),
        (("equal", "text"), ("delete", " final"), ("insert", " 2")),
        (("equal", "text"), ("delete", " 2"), ("insert", " 3")),
    ]


def test_a_run_that_began_with_parameters_of_its_own_shows_them(tmp_path: Path) -> None:
    run, shape = made(tmp_path, True)
    (run.folder / "initial.yaml").write_text("answer.instruction: given\n")
    again = replace(read(run.folder), config={**run.config, "parameters": "elsewhere"})
    history = histories(shape, again)["answer.instruction"]
    assert history.start == "given"
    assert history.proposed[0].parts == (("delete", "given"), ("insert", "text 1"))


def test_curves_bear_what_was_not_scored(tmp_path: Path) -> None:
    run, _ = made(tmp_path, True, False)
    train, validation = lines(run)
    assert [(dot.step, dot.score) for dot in train.dots] == [(0, 0.5), (1, 0.5), (2, 0.5)]
    assert [(dot.step, dot.score) for dot in validation.dots] == [(0, 0.3), (1, 0.4), (2, 0.4)]
    assert [(flag.score, flag.accepted) for flag in flags(run)] == [(0.6, True), (0.5, False)]
    nothing = Directory(tmp_path / "nothing")
    step = nothing.step(1, 0, accepted=False)
    step["scores"] = {"train": None, "candidate": None, "validation": None}
    folder = nothing.write([step], [], examples=0)
    assert lines(read(folder)) == ()
    assert "rejected, text 1" in write(folder, declared).read_text(encoding="utf-8")


def test_declared_graph_of_every_kind_has_a_shape() -> None:
    shape = shape_of(
        {
            "name": "g",
            "inputs": ["q"],
            "parameters": {"style": {"value": "Be brief.", "frozen": True}},
            "nodes": {
                "a": {"predecessors": ["q"], "parameters": {"how": {"shared": "style"}, "n": 3}},
                "b": {"predecessors": ["a"], "forward": {"_target_": "math.sqrt"}},
            },
            "output": "b",
        }
    )
    assert shape.nodes["a"].parameters == {"how": "style", "n": "a.n"}
    assert shape.parameters["style"].frozen
    assert shape.parameters["a.n"].text == "3"
    assert (shape.nodes["a"].code, shape.nodes["b"].code) == (False, True)


def test_large_run_shows_some_examples_of_each_step() -> None:
    assert shares([4, 4], 100, 100) == [4, 4]
    assert shares([4, 0, 4], 200, 100) == [1, 0, 1]
    assert shares([100, 100], 2000, 100) == [5, 5]
    assert shares([1] * 10, 1000, 300) == [0] * 7 + [1] * 3
    assert shares([], 10, 1) == []


def test_texts_of_a_megabyte_are_shortened_and_fast(tmp_path: Path) -> None:
    long = Directory(tmp_path, text="word <b> " * 120_000)
    folder = Directory(tmp_path).write([long.step(1, 1)], [long.calls(1, 1)])
    began = time.perf_counter()
    text = write(folder, declared).read_text(encoding="utf-8")
    assert time.perf_counter() - began < 10
    assert "more characters)" in text
    assert len(text) < 20_000_000


def test_a_page_has_a_line_once_and_every_text_whole() -> None:
    value = (
        "".join(f"a line of the value, {i}\n" for i in range(30)) + "\ud83d\r\n\u2028 <b>end</b>"
    )
    prompts = [f"Do {i}.\n<given>\n{value}\n</given>\nSay what is best here.\n" for i in range(9)]
    texts, found = Texts(), ["", "x", value, *prompts, "0123456789abcdef", value.strip()]
    numbers = [texts.add(text) for text in found]

    def whole(number: int) -> str:
        entry = texts.table[number]
        parts = [entry] if isinstance(entry, str) else entry
        return "".join(one if isinstance(one, str) else whole(one) for one in parts)

    assert [whole(number) for number in numbers] == found
    written = json.dumps(texts.table)
    assert written.count("of the value, 17") == written.count("Say what is best") == 1


def test_what_nobody_sees_is_spelt_out_in_a_page() -> None:
    shown = as_html(element("p", "\x1b[31m \u202egnp.exe\u202c\r\n\ud83d\x00", title="\u2066"))
    assert shown == ('<p title="\\u2066">\\x1b[31m \\u202egnp.exe\\u202c\n\\ud83d\\x00</p>')
    script = shipped("make.js")
    said = re.search(r"UNSEEN =\s+/(\[.+\])/gu;", script)
    assert said is not None
    unseen = re.compile(said[1])
    for code in (*range(0xE000), 0xFEFF, 0xFFFE, 0xFFFF, 0x1F600):
        letter = chr(code)
        assert (unseen.search(letter) is not None) == (
            spelt_out(letter) != letter and letter != "\r"
        )


def test_what_a_writer_was_told_and_what_was_summed_up_is_shown(tmp_path: Path) -> None:
    directory = Directory(tmp_path)
    first, second = (directory.step(i, 1) for i in (1, 2))
    name, other = list(first["proposal"])[:2]
    cause = {"label": "zones", "words": "zones: none is told", "examples": ["1", "2"]}
    first["causes"] = {name: cause}
    second["summaries"] = {name: {"text": "- It lacks the zones. (9)", "of": 9}}
    node = name.partition(".")[0]
    first["sampled"][0]["joined"] = {node: {"source": "5 successors", "value": "All want sums."}}
    data = embedded(write(directory.write([first, second], []), declared).read_text("utf-8"))
    texts = data["texts"]

    def text(number: int) -> str:
        found = texts[number]
        parts = [found] if isinstance(found, str) else found
        return "".join(one if isinstance(one, str) else text(one) for one in parts)

    told = [one["told"] for one in data["parameters"][name]["proposed"]]
    assert [text(one) for one in told] == [
        "To mend, of 2 examples: zones: none is told",
        "What 9 pieces of work came to, in all:\n- It lacks the zones. (9)",
    ]
    assert [one["told"] for one in data["parameters"][other]["proposed"]] == [None, None]
    [joined] = data["steps"][0]["sampled"][0]["joined"].items()
    assert (joined[0], joined[1][0], text(joined[1][1])) == (node, "5 successors", "All want sums.")
    assert data["steps"][1]["sampled"][0]["joined"] == {}
