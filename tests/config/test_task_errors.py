"""Scorers and code nodes that fail: the run ends on the first examples, or it counts as 0."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from sgdflow.config.compose import compose
from sgdflow.config.paths import prompt_folders
from sgdflow.config.prepare import prepare
from sgdflow.errors import ConfigError, NothingAnswered, ScoringFailed
from sgdflow.llm.scripted import ScriptedLLM
from sgdflow.prompting.templates import Prompts
from sgdflow.records import RunFolder
from sgdflow.runs.run import evaluate

OWN = """
import asyncio
import decimal
import numpy
import sys

def raises(output, target): raise KeyError("Zone")
def raises_at_4(output, target): return 1.0 if target != "4" else 1 / 0
def five(output, target): return 5
def negative(output, target): return -0.01
def nothing(output, target): return None
def nan(output, target): return float("nan")
def word(output, target): return "right"
def small(output, target): return numpy.float32(0.5)
def exact(output, target): return decimal.Decimal("0.5")
async def later(output, target): return target == "4"
def leaves(output, target): sys.exit(0)
async def gives_up(output, target): raise asyncio.CancelledError
def rambles(output, target): raise ValueError("x" * 100_000)
def tool_leaves(question): sys.exit(0)
async def tool_gives_up(question): raise asyncio.CancelledError
def tool(question): raise KeyError("rates")
def tool_at_4(question): return question if question != "4" else 1 / 0
"""
FIRST = 5
ADVICE = "Replies that are stored are not asked for again."
OR_ZERO = ", or let exceptions count as 0 (task.errors=zero)"


@pytest.fixture(autouse=True)
def working(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    Path("own_scoring.py").write_text(OWN)
    rows = [{"q": str(n), "a": str(n)} for n in range(1, 31)]
    Path("t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def run(*words: str, tool: str | None = None) -> tuple[dict[str, Any], int]:
    """Return the record of an evaluation of 28 examples, and how many calls it took."""
    said = (
        "graph=single", "task=table", "task.path=t.jsonl", "task.inputs={question: q}",
        "task.target=a", "tracking=none", "task.splits={train: 28, validation: 1, test: 1}",
        "split=train",
    )  # fmt: skip
    raw = dict(compose([*said, *words]))
    if tool:
        nodes = {
            "tool": {"predecessors": ["question"], "forward": {"_target_": f"own_scoring.{tool}"}},
            "answer": {"predecessors": ["tool"], "parameters": {"instruction": "Answer."}},
        }
        raw["graph"] = {"name": "g", "inputs": ["question"], "nodes": nodes, "output": "answer"}
    ready = prepare(raw, Prompts(prompt_folders(Path("nowhere"))), {})
    llm = ScriptedLLM(lambda *_: "<output>4</output>")
    try:
        return asyncio.run(evaluate(ready, llm, RunFolder(Path("run")))), len(llm.requests)
    except (ScoringFailed, NothingAnswered) as error:
        return {"error": str(error)}, len(llm.requests)


def scored(name: str) -> str:
    return f"task.score._target_=own_scoring.{name}"


@pytest.mark.parametrize("errors", ["stop", "zero"])
@pytest.mark.parametrize(
    ("name", "returned"),
    [
        ("five", "5"),
        ("negative", "-0.01"),
        ("nothing", "None"),
        ("nan", "nan"),
        ("word", "'right'"),
    ],
)
def test_what_is_no_score_ends_the_run_at_once(name: str, returned: str, errors: str) -> None:
    record, calls = run(scored(name), f"task.errors={errors}")
    place, told = record["error"].split(": own_scoring.")
    assert place.startswith("task.score: t.jsonl, line ")
    assert told == (
        f"{name} returned {returned}; a score is a number in [0, 1]. "
        f"Mend the scorer or the example. {ADVICE}"
    )
    assert calls <= FIRST


@pytest.mark.parametrize(("name", "score"), [("small", 0.5), ("exact", 0.5), ("later", 1.0)])
def test_numbers_of_other_kinds_are_scores(name: str, score: float) -> None:
    record, _ = run(scored(name), "seed=1")
    assert record["examples"]["t/3"] == score


def test_a_scorer_that_raises_ends_the_run_at_once() -> None:
    record, calls = run(scored("raises"))
    assert record["error"].endswith(
        "own_scoring.raises raised KeyError: 'Zone' (own_scoring.py, line 7). "
        "Mend the scorer or the example"
        f"{OR_ZERO}. {ADVICE}"
    )
    assert calls <= FIRST
    record, _ = run(scored("raises_at_4"))
    assert "t.jsonl, line 4: own_scoring.raises_at_4 raised ZeroDivisionError" in record["error"]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("leaves", "leaves raised SystemExit: 0"),
        ("gives_up", "gives_up raised CancelledError"),
        ("rambles", f"rambles raised ValueError: {'x' * 1_000}..."),
    ],
)
def test_code_that_would_end_the_program_only_fails(name: str, told: str) -> None:
    """A run that sys.exit(0) ended would have exit code 0 and no result."""
    assert f"own_scoring.{told}" in run(scored(name))[0]["error"]
    if name != "rambles":
        assert f"own_scoring.tool_{told}" in run(tool=f"tool_{name}")[0]["error"]
        record, _ = run(scored(name), "task.errors=zero")
        assert record["score"]["unanswered"] == {"code": 28}


def test_a_module_that_would_end_the_program_is_told() -> None:
    Path("leaving.py").write_text("import sys\nsys.exit(0)\n")
    with pytest.raises(ConfigError) as refused:
        run("task.score._target_=leaving.score")
    told = "task.score._target_: importing 'leaving' raised SystemExit: 0 (leaving.py, line 2)."
    assert str(refused.value) == told


def test_what_a_scorer_raises_counts_as_zero_where_that_is_declared() -> None:
    record, calls = run(scored("raises_at_4"), "task.errors=zero")
    assert (record["score"]["n"], record["score"]["failed"], calls) == (28, 0, 28)
    assert record["score"]["mean"] == pytest.approx(27 / 28)
    assert record["score"]["unanswered"] == {"code": 1}
    assert record["examples"]["t/3"] == 0
    record, calls = run(scored("raises"), "task.errors=zero")
    assert (record["score"]["mean"], record["score"]["unanswered"]) == (0, {"code": 28})


def test_a_tool_that_raises_ends_the_run_at_once() -> None:
    record, calls = run(tool="tool")
    told, place = record["error"].split(", asked about t.jsonl, line ")
    assert told == (
        "The first 5 examples all failed for one reason, so that nothing else was asked "
        "(llm.limits.first=5): code.\ntool: own_scoring.tool raised KeyError: 'rates' "
        "(own_scoring.py, line 22)"
    )
    assert place.partition(".\n")[2] == (
        "Mend that function or template, or what it is given. Where it may fail, what it raises "
        "can count as 0: task.errors=zero."
    )
    assert calls == 0


def test_what_a_tool_raises_counts_as_zero_where_that_is_declared() -> None:
    record, _ = run("task.errors=zero", tool="tool")
    assert (record["score"]["mean"], record["score"]["unanswered"]) == (0, {"code": 28})
    record, _ = run("task.errors=zero", tool="tool_at_4")
    assert (record["score"]["n"], record["score"]["unanswered"]) == (28, {"code": 1})
    record, _ = run(tool="tool_at_4")
    assert (record["score"]["n"], record["score"]["failed"]) == (27, 1)
