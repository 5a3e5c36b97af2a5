"""The tree of candidates, read back from lines of steps.jsonl and drawn."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from sgdflow.cli.show import show
from sgdflow.records.tree import candidates, number_of, place_of, tree_lines
from sgdflow.records.words import step_words
from sgdflow.report.reading import Run
from sgdflow.report.tree import tree

START = {"a": "0", "b": "0"}


def made(number: int | None, *parents: int, why: str = "joint", **texts: str) -> dict[str, Any]:
    return {"from": [*parents], "candidate": number, "why": why, "proposal": texts}


def step(number: int, one: Mapping[str, Any], *others: Mapping[str, Any]) -> dict[str, Any]:
    score = {"mean": number / 10, "n": 10} if one["candidate"] else None
    more = {"scores": {"candidate": score}, "others": [*others], "sampled": ["much"]}
    return {"step": number, **one, **more}


STEPS = [
    step(1, made(1, 0, a="1"), made(2, 0, b="2"), made(None, 0, b="bad")),
    step(2, made(None, 1, a="bad")),
    step(3, made(3, 1, 2, why="merge", b="2")),
    step(4, made(4, 3, why="part", a="4")),
]


def test_candidates_have_what_their_steps_gave_them() -> None:
    found = candidates(STEPS, START)
    assert [one.parameters for one in found] == [
        START,
        {"a": "1", "b": "0"},
        {"a": "0", "b": "2"},
        {"a": "1", "b": "2"},
        {"a": "4", "b": "2"},
    ]
    assert [(one.number, one.step, one.parents, one.turned_down) for one in found] == [
        (0, 0, (), 1),
        (1, 1, (0,), 1),
        (2, 1, (0,), 0),
        (3, 3, (1, 2), 0),
        (4, 4, (3,), 0),
    ]
    assert number_of(found, {"b": "2", "a": "1"}) == 3
    assert number_of(found, {"a": "?"}) is None
    assert candidates([place_of(one) for one in STEPS], START) == found
    assert "sampled" not in place_of(STEPS[0])


def test_a_tree_that_cannot_be_has_an_end() -> None:
    """A candidate that comes from itself, from a later one, and one that is there twice."""
    lines = [
        step(1, made(1, 0, a="1"), made(1, 0, a="2"), made(0, 0, a="3")),
        step(2, made(2, 2, a="4"), made(3, 4, a="5"), made(4, 3, a="6"), made(5, 1, 5, a="7")),
        step(3, made(6, 1, a="8"), made(None), made(7)),
    ]
    assert [one.number for one in candidates(lines, START)] == [0, 1, 6]
    assert len(list(tree_lines(candidates(lines, START)))) == 3


def test_the_tree_in_words() -> None:
    assert [*tree_lines(candidates(STEPS, START), 4)] == [
        "0 the start; 1 proposal from it turned down",
        "├─ 1 0.100 on 10, step 1, a proposal from 0: a; 1 proposal from it turned down",
        "│  3 0.300 on 10, step 3, a merge from 1, 2: b",
        "│  4 0.400 on 10, step 4, part of a proposal from 3: a  <- returned",
        "└─ 2 step 1, a proposal from 0: b",
    ]


def test_every_candidate_has_its_scores_in_words() -> None:
    """Where a pool chose by others than the gate, both are told."""
    gate = {"mean": 0.625, "n": 8, "of": 24, "outcomes": {"a": 1.0}}
    pooled = {"split": "validation", "mean": 0.75, "n": 24}
    other = {**made(2, 0, b="2"), "known": gate, "pooled": pooled}
    last = {**made(3, 0, b="3"), "known": {**gate, "of": 8}, "pooled": {**pooled, "split": "train"}}
    lines = [{**step(1, made(1, 0, a="1"), other, last), "known": gate}]
    told = [
        "├─ 1 0.625 on 8 of 24, step 1, a proposal from 0: a",
        "├─ 2 0.750 on 24 validation examples (0.625 on 8 of 24 at the gate), step 1, a proposal "
        "from 0: b",
        "└─ 3 0.750 on 24 training examples (0.625 on 8 at the gate), step 1, a proposal from 0: b",
    ]
    assert [*tree_lines(candidates(lines, START))][1:] == told
    assert candidates([place_of(one) for one in lines], START) == candidates(lines, START)
    picture = drawn(lines, START)
    words = " ".join("".join(picture.itertext()).split())
    for line in told:
        number, _, rest = line.partition(" ")[2].partition(" ")
        assert f"candidate {number}: {rest}" in words
    assert "step 1: 0.750 on 24" in words


def test_a_step_says_where_it_stands_in_the_tree() -> None:
    other = {"accepted": True, "reason": "better", **made(2, 0, b="2")}
    none = {"train": None, "candidate": None, "validation": None}
    told = {"accepted": True, "reason": "better", "scores": none, "pool": [0, 1, 2]}
    lost = {**other, "accepted": False, "candidate": None}
    assert step_words({**step(1, made(1, 0, a="1"), other, lost), **told}) == (
        "step 1: accepted, better; candidate 1 from 0; 1 of 2 others accepted"
    )
    merge = {**step(3, made(None, 2, 1, why="merge", b="2")), **told, "accepted": False}
    assert step_words({**merge, "reason": "worse"}) == (
        "step 3: rejected, worse; a proposal from 2 and 1"
    )
    alone = {**step(2, made(1, 0, a="1")), **told, "pool": [1]}
    assert step_words(alone) == "step 2: accepted, better"


def test_a_long_line_of_descent_stays_at_its_margin() -> None:
    """Longer than Python recurses."""
    steps = [step(number, made(number, number - 1, a=str(number))) for number in range(1, 5001)]
    steps.append(step(5001, made(5001, 4999, a="?"), made(5002, 5001, b="?")))
    *line, two, three, four, five = tree_lines(candidates(steps, START))
    assert len(line) == 4999
    assert all(words.startswith(f"{number} ") for number, words in enumerate(line))
    assert [two[:9], three[:9], four[:9], five[:9]] == [
        "4999 499.", "├─ 5000 5", "└─ 5001 5", "   5002 s",
    ]  # fmt: skip


def test_a_step_is_shown_against_the_texts_it_was_made_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Step 3 goes on from candidate 1, not from what step 2 made of another."""
    steps = [
        step(1, made(1, 0, a="one of step 1")),
        step(2, made(2, 0, a="another of step 2")),
        step(3, made(3, 1, a="one of step 3")),
    ]
    told = {"format": 1, "accepted": True, "reason": "better", "skipped": {}, "sampled": []}
    none = {"train": None, "candidate": None, "validation": None}
    lines = [json.dumps({**one, **told, "scores": none}) for one in steps]
    (tmp_path / "steps.jsonl").write_text("\n".join(lines) + "\n")
    files = {"config": {}, "initial": {"a": "the start"}, "parameters": {"a": "one of step 3"}}
    for name, content in files.items():
        (tmp_path / f"{name}.yaml").write_text(json.dumps(content))
    for number, text in ((1, "[-the start-]{+one of step 1+}"), (3, "one of step[- 1-]{+ 3+}")):
        assert show([str(tmp_path), "--step", str(number)]) == 0
        assert f"\na\n    {text}\n" in capsys.readouterr().out


def test_a_step_tells_what_each_proposal_was_to_mend(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def mending(label: str) -> dict[str, Any]:
        return {
            "causes": {"a": {"label": label, "words": f"{label}: none", "examples": ["1", "2"]}}
        }

    other = {
        **made(None, 0, a="y"),
        **mending("sums"),
        "accepted": False,
        "reason": "worse: 1 -> 0",
    }
    told = {"format": 1, "accepted": True, "reason": "better", "skipped": {}, "sampled": []}
    none = {"train": None, "candidate": None, "validation": None}
    line = {**step(1, made(1, 0, a="x"), other), **mending("zones"), **told, "scores": none}
    (tmp_path / "steps.jsonl").write_text(json.dumps(line) + "\n")
    for name, content in {"config": {}, "initial": {"a": "0"}, "parameters": {"a": "x"}}.items():
        (tmp_path / f"{name}.yaml").write_text(json.dumps(content))
    assert show([str(tmp_path), "--step", "1"]) == 0
    out = capsys.readouterr().out
    assert "\na\n  to mend, of 2 examples: zones: none\n    [-0-]{+x+}\n" in out
    assert (
        "\nAnother proposal, rejected: worse: 1 -> 0\n  a\n  to mend, of 2 examples: sums: none\n"
        in out
    )


def drawn(steps: list[dict[str, Any]], parameters: Mapping[str, Any]) -> Any:
    return tree(Run(Path(), {}, START, parameters, tuple(steps), (), 0, None, ()))


def test_the_tree_is_drawn_with_every_line_of_descent() -> None:
    picture = drawn(STEPS, {"a": "4", "b": "2"})
    edges = {(one.get("data-source"), one.get("data-target")) for one in picture.iter("path")}
    assert edges - {(None, None)} == {
        ("start", "candidate 1"),
        ("start", "candidate 2"),
        ("candidate 1", "candidate 3"),
        ("candidate 2", "candidate 3"),
        ("candidate 3", "candidate 4"),
    }
    outputs = [one for one in picture.iter("g") if "output" in (one.get("class") or "").split()]
    (framed,) = outputs
    assert framed.find("title").text.startswith("candidate 4: 0.400 on 10, step 4, part of")


def test_nothing_is_drawn_where_nothing_was_accepted_or_told() -> None:
    assert drawn([step(1, made(None, 0, a="bad"))], START) is None
    assert drawn([{"step": 1, "accepted": True}], START) is None
    assert candidates([{"step": 1}]) == ()
