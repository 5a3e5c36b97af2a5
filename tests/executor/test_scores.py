"""What scores an output: functions by the names of what they take, judges, several at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sgdflow.config.compose import compose
from sgdflow.config.paths import prompt_folders
from sgdflow.config.prepare import Prepared, prepare
from sgdflow.data import Example, scoring
from sgdflow.errors import CallFailed, NodeFailed, NothingAnswered, ScoringFailed
from sgdflow.executor.functions import Function
from sgdflow.executor.loss import ANSWERED
from sgdflow.executor.objectives import Objective, Weighted
from sgdflow.executor.scores import UNJUDGED, Judge, Score, Verdict
from sgdflow.executor.took import Took
from sgdflow.llm import Message
from sgdflow.llm.scripted import Said, ScriptedLLM
from sgdflow.plan.estimate import step_estimate
from sgdflow.prompting.ask import Ask
from sgdflow.prompting.replies import ReplyFormat
from sgdflow.prompting.templates import Prompts
from sgdflow.records import RunFolder
from sgdflow.records.source import read_steps
from sgdflow.runs.run import evaluate, optimise
from sgdflow.tracking import NullTracker

PROMPTS = Prompts(prompt_folders(Path(__file__).parent))
EXAMPLE = Example("one", {"question": "Q?"}, "T")
VALUES = {"question": "Q?", "draft": "D", "answer": "A"}


def said(function: Callable[..., Any], **constants: Any) -> Verdict:
    score = Score(Function(function, "own.score", constants))
    assert list(score.problems(["question"], ["draft", "answer"])) == []
    return asyncio.run(score(EXAMPLE, VALUES, "A", ScriptedLLM({}), Took()))


def words(*parts: Any) -> dict[str, Any]:
    return {"score": 0.5, "feedback": " ".join(map(str, parts))}


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (lambda output, target: words(output, target), "A T"),
        (lambda target, output: words(output, target), "A T"),
        (lambda written, wanted: words(written, wanted), "A T"),
        (lambda output: words(output), "A"),
        (lambda values: words(values["draft"]), "D"),
        (lambda output, inputs: words(output, inputs["question"]), "A Q?"),
        (lambda output, target, values=None: words(target, values["draft"]), "T D"),
        (lambda *, inputs, output, values, target: words(output, target, *values), "A T question"),
    ],
)
def test_a_function_is_given_what_it_names(function: Callable[..., Any], told: str) -> None:
    verdict = said(function)
    assert verdict.score == 0.5
    assert verdict.feedback.startswith(told)


def test_constants_are_not_given_twice() -> None:
    def score(output: str, target: str, unit: str) -> float:
        return float((output, target, unit) == ("A", "T", "kg"))

    assert said(score, unit="kg") == Verdict(1.0)
    assert said(score, unit="kg", target="T") == Verdict(1.0)


@pytest.mark.parametrize(
    "returned",
    [{"score": 2}, {"feedback": "x"}, {"score": 1, "feedback": 3}, {"score": 1, "why": "x"}, "1"],
)
def test_what_is_no_verdict_is_refused(returned: Any) -> None:
    with pytest.raises(ScoringFailed, match=r"own\.score returned .*a score is a number in"):
        said(lambda output: returned)


def test_a_function_that_asks_for_more_is_told_what_there_is() -> None:
    score = Score(Function(lambda prediction, inputs: 1.0, "own.score"))
    assert list(score.problems(["question"], ["answer"])) == [
        "own.score(inputs=...): missing a required argument: 'prediction'. "
        "A scorer may take: output, target, inputs, values."
    ]


def judge(scale: tuple[float, float] = (1, 5), attempts: int = 3) -> Judge:
    form = ReplyFormat(tag="verdict")
    return Judge(Ask(PROMPTS, "score/judge.jinja", "judge", form, attempts), "Be kind.", *scale)


def verdict(score: str, feedback: str = "Be kinder.") -> str:
    names = {"feedback": feedback, "score": score}
    return "\n".join(f'<verdict name="{name}">{text}</verdict>' for name, text in names.items())


def test_a_judge_scores_on_its_scale_and_says_why() -> None:
    llm = ScriptedLLM({"judge": [verdict("2")]})
    found = asyncio.run(judge()(Example("one", {"question": "Q?"}, None), VALUES, "A", llm, Took()))
    assert (found.score, found.feedback) == (0.25, "Be kinder.")
    [request] = llm.requests
    assert (request.role, request.node) == ("judge", "score")
    text = request.messages[-1].content
    assert all(f"\n{part}\n</" in text for part in ("Be kind.", "Q?", "A"))
    assert "What was expected" not in text
    assert [call.node for call in found.calls] == ["score"]


def test_a_judge_sees_a_target_where_there_is_one() -> None:
    llm = ScriptedLLM({"judge": [verdict("5")]})
    assert asyncio.run(judge()(EXAMPLE, VALUES, "A", llm, Took())).score == 1
    assert "<expected>\nT\n</expected>" in llm.requests[0].messages[-1].content


@pytest.mark.parametrize("bad", ["6", "0.9", "four", "2 of 5", "nan", "1e0"])
def test_a_score_off_the_scale_is_asked_for_again(bad: str) -> None:
    llm = ScriptedLLM({"judge": [verdict(bad), verdict("3")]})
    assert asyncio.run(judge()(EXAMPLE, VALUES, "A", llm, Took())).score == 0.5
    assert (
        f"the score is '{bad}'; write a number from 1 to 5" in llm.requests[1].messages[-1].content
    )


@pytest.mark.parametrize("reply", [verdict("9"), CallFailed("no", "connection"), "<verdict>"])
def test_a_judge_that_gives_no_score_is_not_held_against_the_output(reply: Said) -> None:
    with pytest.raises(NodeFailed) as failed:
        asyncio.run(
            judge(attempts=1)(EXAMPLE, VALUES, "A", ScriptedLLM({"judge": [reply]}), Took())
        )
    assert failed.value.kind == UNJUDGED
    assert str(failed.value).startswith("the judge gave no score: ")


def test_several_scores_are_a_weighted_mean_and_each_says_how_it_came() -> None:
    exact = Score(Function(lambda output, target: float(output == target), "exact"))
    several = Weighted({"right": Objective(exact, 3), "kind": Objective(judge())})
    found = asyncio.run(
        several(EXAMPLE, VALUES, "T", ScriptedLLM({"judge": [verdict("3")]}), Took())
    )
    assert found.score == pytest.approx((3 * 1 + 1 * 0.5) / 4)
    assert found.feedback == "right scores 1 of 1\nkind scores 0.5 of 1: Be kinder."
    assert len(found.calls) == 1
    assert several.needs_target
    assert not Weighted({"kind": Objective(judge())}).needs_target


YES_NO = Score(Function(scoring.yes_no, "yes_no"))
HOW = "compared as yes/no: its first or last word"


def test_one_of_several_that_compares_the_answer_says_how_it_was_read() -> None:
    """The tally of answers, the probe and the loss would else go by the whole output."""
    brief = Score(Function(lambda output: 0.5, "brief"))
    several = Weighted({"right": Objective(YES_NO, 3), "brief": Objective(brief)})
    output, alone = "No way, I say: no.", YES_NO.reading("No way, I say: no.", "Yes")
    assert several.reading(output, "Yes") == alone
    assert (alone.read_as, alone.plain) == ("no", False)
    assert (several.read_as(output, "Yes"), several.expected_as("Yes")) == ("no", "yes")
    found = asyncio.run(
        several(replace(EXAMPLE, target="Yes"), VALUES, output, ScriptedLLM({}), Took())
    )
    assert found.feedback == "right scores 0 of 1\nbrief scores 0.5 of 1"  # it is said once
    both = Weighted({"right": Objective(YES_NO), "too": Objective(YES_NO)})
    assert (both.reading(output, "Yes"), both.read_as(output, "Yes")) == (ANSWERED, output)


def test_what_was_read_in_a_field_stands_beside_its_score() -> None:
    several = Weighted({name: Objective(YES_NO, field=name) for name in ("sure", "safe", "new")})
    example = replace(EXAMPLE, target=dict.fromkeys(("sure", "safe", "new"), "yes"))
    output = {"sure": "I would say no", "safe": "That is so: yes"}
    found = asyncio.run(several(example, VALUES, output, ScriptedLLM({}), Took()))
    assert found.feedback == (
        f"sure scores 0 of 1 (read as: no; {HOW})\n"
        "safe scores 1 of 1\n"
        f"new scores 0 of 1 (read as: nothing; {HOW})"
    )


# As declared.

TRAIN = "task.splits={train: 1, validation: 0, test: 1}"
TABLE = ("graph=hints", "task=table", "task.path=t.csv", "task.inputs=[question]", TRAIN)
JUDGED = (*TABLE, "task.target=null", "task.score={rubric: Be kind., scale: [1, 5]}")
OTHERS: tuple[str, ...] = ("tracking=none", "method.stop.steps=1", "method.gate.rule=always")
OTHERS += ("method.lazy=false", "method.confirm=null")


@pytest.fixture(autouse=True)
def working(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_text("question\nWho?\nWhere?\n")
    return tmp_path


def ready(*said: str) -> Prepared:
    return prepare(compose([*said, *OTHERS]), Prompts(prompt_folders(Path("nowhere"))), {})


def team(role: str, node: str, messages: Sequence[Message]) -> Said:
    match role:
        case "judge":
            return verdict("3", "Say please.")
        case "backward":
            return "".join(f'<gradient name="{n}">As {n}, say please.</gradient>' for n in HINTS)
        case "optimizer":
            return "<improved>Say please, always.</improved>"
    return f"<output>value of {node}</output>"


HINTS = ("hint_1", "hint_2")


def test_the_words_of_a_judge_reach_every_parameter_as_gradients(working: Path) -> None:
    """No example has a target: all that the parameters can learn from is what the judge said."""
    prepared = ready(*JUDGED)
    folder = RunFolder(working / "run")
    record = asyncio.run(optimise(prepared, {}, ScriptedLLM(team), NullTracker(), folder))
    assert record["scores"]["train"]["initial"]["mean"] == 0.5
    assert record["calls"]["judge"] > 0
    [step] = read_steps(folder.path / "steps.jsonl")
    [learned] = step["sampled"]
    assert learned["feedback"] == (
        "The output is partly right (it scores 0.5 of 1).\nWhat was said of it: Say please."
    )
    assert {name: learned["gradients"][name][0]["source"] for name in (*HINTS, "answer")} == {
        "hint_1": "answer",
        "hint_2": "answer",
        "answer": "loss",
    }
    assert set(step["proposal"]) == {f"{name}.instruction" for name in (*HINTS, "answer")}
    [calls] = read_steps(folder.path / "calls.jsonl")
    assert [call["node"] for call in calls["examples"][0]["loss"]] == ["score"]


def test_scores_are_planned_with_the_calls_of_judges() -> None:
    prepared = ready(*JUDGED)
    assert prepared.roles >= {"judge"}
    estimate = step_estimate(prepared.problem, prepared.method)
    assert estimate.sums[0] == "to start with 1 example x (3 nodes + 1 judge) = 4 calls"
    both = "{kind: {score: {rubric: Be kind.}}, short: {score: {rubric: Be brief.}, weight: 2}}"
    prepared = ready(*TABLE, "task.target=null", f"task.score={{objectives: {both}}}")
    several = step_estimate(prepared.problem, prepared.method)
    assert several.sums[0] == "to start with 1 example x (3 nodes + 2 judges) = 5 calls"
    prepared = ready(*JUDGED, "+method.backward.verify={examples: 1}")
    [tried] = [s for s in step_estimate(prepared.problem, prepared.method).sums if "try" in s]
    # Each of the hints alone and both together: the answer and its judge.
    assert tried == "to try gradients 1 example x 2 values = 2, and 6 calls that follow"


def test_a_run_whose_judge_never_answers_stops_after_the_first_examples(working: Path) -> None:
    def silent(role: str, node: str, messages: Sequence[Message]) -> Said:
        return "nothing" if role == "judge" else "<output>x</output>"

    with pytest.raises(NothingAnswered, match="the judge gave no score"):
        asyncio.run(evaluate(ready(*JUDGED), ScriptedLLM(silent), RunFolder(working / "run")))


def test_a_function_without_a_target_needs_none(
    working: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("own_scores.py").write_text(
        "def short(output, values):\n"
        "    return {'score': 0.5, 'feedback': f'Shorter than {len(values)} words.'}\n"
    )
    monkeypatch.syspath_prepend(working)
    prepared = ready(*TABLE, "task.target=null", "task.score._target_=own_scores.short")
    assert not prepared.problem.score.needs_target
    folder = RunFolder(working / "run")
    asyncio.run(optimise(prepared, {}, ScriptedLLM(team), NullTracker(), folder))
    [step] = read_steps(folder.path / "steps.jsonl")
    assert step["sampled"][0]["feedback"].endswith("What was said of it: Shorter than 4 words.")


def test_targets_are_taken_in_one_way_also_by_one_of_several() -> None:
    Path("t.csv").write_text("question,a\nWho?,1\nWhere?,2\n")
    several = "{right: {score: like_target, weight: 3}, kind: {score: {rubric: Be kind.}}}"
    prepared = ready(*TABLE, "task.target=a", f"task.score={{objectives: {several}}}")
    assert [notice.text for notice in prepared.notices] == ["targets: 2 numbers"]
    assert isinstance(prepared.problem.score, Weighted)
    assert prepared.roles >= {"judge"}


@pytest.mark.parametrize(
    ("score", "said"),
    [
        (0.0, "The output is wrong. The expected answer is: T"),
        (0.004, "The output is partly right (it scores 0.004 of 1). The expected answer is: T"),
        (0.5, "The output is partly right (it scores 0.5 of 1). The expected answer is: T"),
        (0.999, "The output is partly right (it scores 0.999 of 1). The expected answer is: T"),
        (1.0, "The output is right. The expected answer is: T"),
    ],
)
def test_the_loss_says_wrong_of_nothing_that_is_partly_right(score: float, said: str) -> None:
    shown = {"inputs": {"question": "Q?"}, "output": "A", "target": "T", "score": score}
    assert PROMPTS.text("loss/expected.jinja", {**shown, "reading": ANSWERED}) == said


@pytest.mark.parametrize("returned", [(1.0, "ok"), [0.5]])
def test_a_score_beside_its_reason_is_written_as_a_mapping(returned: Any) -> None:
    with pytest.raises(ScoringFailed) as refused:
        said(lambda output: returned)
    assert str(refused.value) == (
        f"own.score returned {returned!r}; a score is a number in [0, 1], or "
        "{score: that number, feedback: a text}"
    )


@pytest.mark.parametrize(("what", "known"), [("inputs", "question"), ("values", None)])
def test_a_scorer_that_asks_for_what_is_not_there_is_told_what_is(
    what: str, known: str | None
) -> None:
    functions: dict[str, Callable[..., Any]] = {
        "inputs": lambda inputs: inputs["nope"],
        "values": lambda values: values["nope"],
    }
    with pytest.raises(NodeFailed) as failed:
        said(functions[what])
    there = known or "question, draft, answer"
    assert f"there is no 'nope' among the {what}; there are: {there}" in str(failed.value)
