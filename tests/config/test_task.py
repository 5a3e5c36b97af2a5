"""What is said of a task's rows and targets, before anything is paid for."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from sgdflow.config.compose import compose
from sgdflow.config.paths import prompt_folders
from sgdflow.config.prepare import Prepared, prepare
from sgdflow.data import Example
from sgdflow.data.scoring import SCORERS
from sgdflow.errors import ConfigError
from sgdflow.executor.took import Took
from sgdflow.llm.scripted import ScriptedLLM
from sgdflow.prompting.templates import Prompts
from sgdflow.records import RunFolder
from sgdflow.runs.run import evaluate, optimise
from sgdflow.tracking import NullTracker

PROMPTS = Prompts(prompt_folders(Path("nowhere")))
SIZES = "task.splits={train: 1, validation: 1, test: null}"
WORDS = ("graph=single", "task=table", "task.path=t.jsonl", "task.target=a", "tracking=none")
DROP = "Mend these rows, or set task.missing=drop to leave them out"
KEEP = ", or task.missing=keep to use missing values as they are."
HALF = "holds half a character (U+D83D, a lone surrogate) at position 2."


@pytest.fixture(autouse=True)
def working(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def ready(rows: Sequence[Mapping[str, Any]], *words: str) -> Prepared:
    Path("t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    inputs = "task.inputs={question: q}"
    return prepare(compose([*WORDS, inputs, SIZES, *words]), PROMPTS, {})


def refused(rows: Sequence[Mapping[str, Any]], *words: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        ready(rows, *words)
    return str(caught.value).split("\n")


def used(prepared: Prepared) -> list[Example]:
    """Return all examples, in the order of the file."""
    splits = prepared.problem.splits
    found = [*splits.train, *splits.validation, *splits.test]
    return sorted(found, key=lambda example: int(example.id.split("/")[1]))


def rows(*targets: Any) -> list[dict[str, Any]]:
    return [{"q": f"question {number}", "a": target} for number, target in enumerate(targets)]


GOOD = rows(1, 2, 3, 4)
FLAWS: list[tuple[Mapping[str, Any], str, bool]] = [
    ({"q": "?", "a": None}, "column 'a' is null.", False),
    ({"q": "?", "a": float("nan")}, "column 'a' is NaN.", False),
    ({"q": "?", "a": "  "}, "column 'a' is empty.", False),
    ({"q": None, "a": 5}, "column 'q' is null.", False),
    ({"q": float("nan"), "a": 5}, "column 'q' is NaN.", False),
    ({"q": "a\ud83d", "a": 5}, f"column 'q' {HALF}", True),
    # Others have the key: it is a missing value, and no missing column.
    ({"q": "?"}, "(it has no 'a'): column 'a' is null.", False),
    ({"q": "?", "aa": 5}, "(it has 'aa', and no 'a'): column 'a' is null.", False),
    ({"q": ["b", {"x": "a\ud83d"}], "a": 5}, f"column 'q' {HALF}", True),
    ({"q": "?", "a": "a\ud83d"}, f"column 'a' {HALF}", True),
]


@pytest.mark.parametrize(("row", "told", "fatal"), FLAWS)
def test_a_row_that_cannot_be_used_is_refused_dropped_or_kept(
    row: Mapping[str, Any], told: str, fatal: bool
) -> None:
    place = "t.jsonl, line 3" + (" " if told.startswith("(") else ": ")
    assert refused([*GOOD[:2], row, *GOOD[2:]]) == [
        f"task.data: {place}{told}",
        f"{DROP}{'.' if fatal else KEEP}",
    ]
    left = ready([*GOOD[:2], row, *GOOD[2:]], "task.missing=drop")
    assert [example.target for example in used(left)] == [1, 2, 3, 4]
    notice = f"1 row left out (task.missing=drop): {place}{told}"
    assert [n.text for n in left.notices] == [notice, "targets: 4 numbers"]
    if fatal:
        assert refused([*GOOD[:2], row, *GOOD[2:]], "task.missing=keep")[0].endswith(told)
    elif "'q'" in told:
        kept = ready([*GOOD[:2], row, *GOOD[2:]], "task.missing=keep")
        assert repr(used(kept)[2].inputs["question"]) == repr(row["q"])
        notice = f"1 row with a missing value (task.missing=keep): {place}{told}"
        assert kept.notices[0].text == notice


def test_what_a_text_file_cannot_tell_to_be_missing_is_said() -> None:
    """An empty field and the "nan" of another program are texts, and may be meant as such."""
    Path("t.csv").write_text('q,a\n"one",1\n"",2\nnan,3\n" ",4\nfive,NaN\nsix,6\n')
    words = [*WORDS, "task.path=t.csv", "task.inputs={question: q}", SIZES]
    prepared = prepare(compose(words), PROMPTS, {})
    assert [(n.text, n.unsure) for n in prepared.notices[:3]] == [
        ("column 'q' is empty in 2 rows, and used as it is (the first: t.csv, line 3)", True),
        ("column 'q' is 'nan' in 1 row, and used as it is (t.csv, line 4)", True),
        ("column 'a' is 'NaN' in 1 row, and used as it is (t.csv, line 6)", True),
    ]
    assert len(used(prepared)) == 6


def test_of_many_rows_the_first_are_named() -> None:
    said = refused(rows(*[None] * 1_000, 1))
    assert said[:3] == [
        "task.data: t.jsonl, line 1: column 'a' is null.",
        "t.jsonl, line 2: column 'a' is null.",
        "t.jsonl, line 3: column 'a' is null.",
    ]
    assert said[3:] == ["and 997 more rows.", DROP + KEEP]


def test_nothing_left_is_no_task() -> None:
    assert refused(rows(None, None), "task.missing=drop")[-1].startswith("task.splits.train asks")


def test_a_misspelt_choice_is_told() -> None:
    assert refused(GOOD, "task.missing=dorp") == [
        "task.missing: input should be 'refuse', 'drop' or 'keep' (got 'dorp'). "
        "Did you mean 'drop'?"
    ]


MINE = """
from sgdflow import data

def pools(target):
    targets = [1, 2, 3, target, 5]
    made = [data.Example(f"e{n}", {"question": "x"}, t) for n, t in enumerate(targets)]
    return data.Pools(shared=tuple(made))
"""


@pytest.mark.parametrize(
    ("target", "told"),
    [(None, "the target is null."), ("?", "the target: target '?' is not a number.")],
)
def test_examples_of_a_function_are_named_by_their_ids(
    target: Any, told: str, monkeypatch: pytest.MonkeyPatch, working: Path
) -> None:
    Path("mine.py").write_text(MINE)
    monkeypatch.syspath_prepend(str(working))
    raw = compose(["graph=single", "tracking=none", "task=gsm8k", SIZES])
    data = {"_target_": "mine.pools", "target": target}
    with pytest.raises(ConfigError) as caught:
        prepare({**raw, "task": {**raw["task"], "data": data}}, PROMPTS, {})
    assert str(caught.value).split("\n")[0] == f"task.data: example e3: {told}"


TAKEN: list[tuple[list[Any], str, bool]] = [
    (["3.5", "45.00", "-2.5", "1,200.5"], "targets: 4 numbers", False),
    (["02134", "10001", "94103"], "targets: 3 codes with leading zeros", False),
    (["B", "A", "C"], "targets: 3 option letters", False),
    ([True, False, True], "targets: 3 true or false", False),
    (
        ["1987", "Paris", "Rome", "Oslo"],
        "targets: 1 looks like a number, 3 are text: taken as text; choose task.score=NAME if "
        "that is wrong (docs/scoring.md)",
        True,
    ),
]


@pytest.mark.parametrize(("targets", "told", "unsure"), TAKEN)
@pytest.mark.parametrize("command", ["optimise", "evaluate"])
def test_a_run_says_first_how_targets_are_taken(
    targets: list[Any], told: str, unsure: bool, command: str, caplog: pytest.LogCaptureFixture
) -> None:
    prepared = ready(rows(*targets), "method.stop.steps=0", "split=train")
    assert [(n.text, n.unsure) for n in prepared.notices] == [(told, unsure)]
    llm = ScriptedLLM(lambda *_: "<output>7</output>")
    folder = RunFolder(Path("run"))
    caplog.set_level("INFO", "sgdflow")
    if command == "optimise":
        asyncio.run(optimise(prepared, {}, llm, NullTracker(), folder))
    else:
        asyncio.run(evaluate(prepared, llm, folder))
    first = caplog.records[0]
    assert first.getMessage() == told
    assert first.levelno == (logging.WARNING if unsure else logging.INFO)


@pytest.mark.parametrize("key", ["task.score", "task.score._target_"])
def test_a_declared_scorer_needs_no_guess(key: str) -> None:
    named = "number" if key == "task.score" else "sgdflow.data.scoring.number"
    prepared = ready(GOOD, f"{key}={named}")
    assert prepared.notices == ()
    assert score(prepared, "It is 4.0", 4) == 1


def score(prepared: Prepared, output: str, target: Any) -> float:
    example = Example("one", {}, target)
    return asyncio.run(prepared.problem.score(example, {}, output, ScriptedLLM({}), Took())).score


def test_the_decision_is_the_one_that_scores() -> None:
    assert score(ready(rows("2134", "02134", "7")), "02134", "2134") == 0
    assert score(ready(rows("2134", "12134", "7")), "02134", "2134") == 1
    lists = ready(rows(["aa", "bb"], ["cc"], ["dd"]), "task.score=any_of")
    assert lists.notices[0].text == "targets: 3 lists of acceptable answers: 4 texts"
    assert [score(lists, output, ["aa", "bb"]) for output in ("aa", "bb", "cc")] == [1, 1, 0]
    words = ("task.score._target_=sgdflow.data.scoring.date", "+task.score.day_first=true")
    dates = ready(rows("01/05/2021", "02/05/2021", "03/05/2021"), *words)
    assert score(dates, "1 May 2021", "01/05/2021") == 1


def test_targets_that_the_scorer_cannot_use_are_told_with_their_rows() -> None:
    assert refused(rows(1, "unknown", 3, "?"), "task.score=number") == [
        "task.data: t.jsonl, line 2: column 'a': target 'unknown' is not a number.",
        "t.jsonl, line 4: column 'a': target '?' is not a number.",
        "Mend these rows, or choose another scorer with task.score=NAME. docs/scoring.md says "
        "what each scorer takes.",
    ]
    assert refused(rows(1, ["b"], 3)) == [
        "task.data: t.jsonl, line 2: column 'a': target ['b'] is a list, not a text to compare "
        "with.",
        "task.score=any_of takes lists of acceptable answers, where one of them is enough. "
        "docs/scoring.md says what each scorer takes.",
    ]


def test_docs_list_every_scorer() -> None:
    text = (Path(__file__).parents[2] / "docs" / "scoring.md").read_text()
    assert re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE) == list(SCORERS)
