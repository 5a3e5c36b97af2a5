"""What a model could not answer, and what it took to ask again, in all that a run leaves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from sgdflow.cli.show import show
from sgdflow.config.compose import compose
from sgdflow.config.paths import prompt_folders
from sgdflow.config.prepare import prepare
from sgdflow.executor.progress import Unwatched
from sgdflow.llm import Message, Reply, Usage
from sgdflow.llm.scripted import Said, ScriptedLLM
from sgdflow.prompting.templates import Prompts
from sgdflow.records import RunFolder
from sgdflow.records.words import score_words
from sgdflow.runs.closing import closing_words
from sgdflow.runs.evaluated import evaluated
from sgdflow.runs.run import optimise
from sgdflow.tracking import NullTracker
from sgdflow.tracking.naming import result_metrics, step_metrics
from sgdflow.tracking.traces import traces

WORDS = (
    "graph=single",
    "graph.inputs=[order]",
    "graph.nodes.answer.predecessors=[order]",
    "tracking=none",
    "task.splits={train: 4, validation: 0, test: 3}",
    "method.stop.steps=1",
    "seed=1",
    "method.sample.count=4",
    "method.lazy=false",
)
CUT = "3 replies of the forward model could not be used: it was cut off at the token limit"


class Rambling:
    """Answers all orders with 0, but for the first two it is asked about, which it never ends."""

    def __init__(self) -> None:
        self.endless: list[str] = []

    def __call__(self, role: str, node: str, messages: Sequence[Message]) -> Said:
        if role == "optimizer":
            return "<improved>Be brief.</improved>"
        prompt = next(m for m in messages if m.role == "user").content
        order = prompt[prompt.index("Price this order") : prompt.index("</variable>")]
        if len(self.endless) < 2 and order not in self.endless:
            self.endless.append(order)
        ended = order not in self.endless or "Be brief." in prompt
        return Reply("0" if ended else "I have to think.", Usage(100, 10), not ended, 0.0)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Mapping[str, Any]]:
    folder = tmp_path_factory.mktemp("ran")
    raw = compose(WORDS)
    ready = prepare(raw, Prompts(prompt_folders(folder)), {})
    llm, place = ScriptedLLM(Rambling()), RunFolder(folder / "run")
    return place.path, asyncio.run(optimise(ready, raw, llm, NullTracker(), place))


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_the_result_counts_them_by_kind(ran: tuple[Path, Mapping[str, Any]]) -> None:
    path, record = ran
    assert record["scores"]["train"]["initial"]["unanswered"] == {"truncated": 2}
    assert record["scores"]["train"]["initial"]["n"] == 4
    # Two examples were asked about three times; all other replies were used.
    assert record["again"] == {
        "forward": {"calls": 4, "prompt": 400, "completion": 40, "cached": 0}
    }
    assert json.loads((path / "result.json").read_text()) == json.loads(json.dumps(record))
    words = closing_words(record)
    assert (
        "  train       0.000 (0.00 to 0.49, 4 examples, 2 unanswered: truncated 2)  ->  " in words
    )
    assert words.endswith("\n  asked again 4 calls, 440 tokens (forward 4)")
    metrics = result_metrics(record)
    assert metrics["score_initial/train_unanswered"] == 2
    assert "score_initial/test_unanswered" not in metrics
    assert metrics["total/again_forward"] == 4


def test_a_step_and_each_example_say_why(ran: tuple[Path, Mapping[str, Any]]) -> None:
    path, _ = ran
    (step,) = lines(path / "steps.jsonl")
    assert step["scores"]["train"]["unanswered"] == {"truncated": 2}
    why = {"node": "answer", "kind": "truncated", "reason": CUT}
    told = [one["unanswered"] for one in step["sampled"]]
    assert sorted(told, key=str) == [None, None, why, why] or told.count(why) == 2
    unread = [one for one in step["sampled"] if one["unanswered"]]
    assert all(one["score"] == 0 and "answer" not in one["values"] for one in unread)
    assert all(one["feedback"].startswith("No answer could be read: ") for one in unread)
    assert step_metrics(step)["step/unanswered_examples"] == 2
    examples = lines(path / "examples.jsonl")
    kinds = [one["unanswered"]["initial"] for one in examples if one["split"] == "train"]
    assert sorted(kinds, key=str) == [None, None, "truncated", "truncated"]
    (trace,) = traces(step, {}, {"answer": ["order"]}, 1)
    assert trace.root.failure == f"answer: truncated: {CUT}"


def test_the_report_and_show_say_so(
    ran: tuple[Path, Mapping[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    path, _ = ran
    report = (path / "report.html").read_text(encoding="utf-8")
    final = json.loads((path / "result.json").read_text())["scores"]["train"]["final"]
    assert ("4 examples, 2 unanswered: truncated 2</p>" in report) == bool(final["unanswered"])
    assert f"unanswered, truncated: {CUT}" in report
    show([str(path), "--step", "1"])
    assert f"  unanswered, answer: truncated:\n    {CUT}\n" in capsys.readouterr().out


def test_an_evaluation_names_them(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    raw, llm = compose(WORDS), ScriptedLLM(Rambling())
    ready = prepare(raw, Prompts(prompt_folders(tmp_path)), {})
    caplog.set_level("INFO", "sgdflow")
    watched, place = Unwatched(), RunFolder(tmp_path)
    record = asyncio.run(
        evaluated(ready, raw, llm, NullTracker(), place, watched, lambda said: said)
    )
    assert record["score"]["unanswered"] == {"truncated": 2}
    assert list(record["failures"]) == []
    assert list(record["unanswered"].values()) == [
        {"kind": "truncated", "reason": f"answer: {CUT}"}
    ] * 2  # fmt: skip
    assert set(record["unanswered"]) < set(record["examples"])
    assert f"2 unanswered: truncated 2; the first: answer: {CUT}" in caplog.text
    assert caplog.messages[-1] == "asked again 4 calls, 440 tokens (forward 4)"


def test_a_score_of_one_example_is_said_in_the_singular() -> None:
    one = {"mean": 1.0, "low": 0.2, "high": 1.0, "n": 1, "failed": 1}
    assert score_words(one) == "1.000 (0.20 to 1.00, 1 example, 1 failed)"
    some = {"malformed": 1, "truncated": 2}
    assert score_words({**one, "n": 60, "failed": 0, "unanswered": some}) == (
        "1.000 (0.20 to 1.00, 60 examples, 3 unanswered: truncated 2, malformed 1)"
    )
