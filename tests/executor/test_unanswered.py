"""What a model could not answer is wrong, not missing; the rest has no score."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import httpx
import openai
import pytest

from sgdflow.config.paths import prompt_folders
from sgdflow.data import Example, scoring
from sgdflow.errors import CallFailed, NodeFailed
from sgdflow.executor.backward import BackwardPass, Differentiation
from sgdflow.executor.backward import backward_pass as propagate
from sgdflow.executor.backward_functions import PassThrough, PromptBackward
from sgdflow.executor.evaluation import Evaluator
from sgdflow.executor.forward import CallableForward, ForwardPass, PromptForward
from sgdflow.executor.functions import Function
from sgdflow.executor.gradients import LOSS, Gradient
from sgdflow.executor.graph import Graph, Node, Parameter
from sgdflow.executor.loss import CallableLoss, PromptLoss, Reading, unread
from sgdflow.executor.means import unanswered_words
from sgdflow.executor.objectives import Objective, Weighted
from sgdflow.executor.outcomes import Evaluation
from sgdflow.executor.scores import UNJUDGED, Judge, Score
from sgdflow.executor.walk import Failure
from sgdflow.llm import Message, Reply
from sgdflow.llm.scripted import Said, ScriptedLLM
from sgdflow.prompting.ask import Ask
from sgdflow.prompting.replies import ReplyFormat
from sgdflow.prompting.templates import Prompts
from sgdflow.update import gather_evidence

T = TypeVar("T")

PROMPTS = Prompts(prompt_folders(Path(__file__).parent))
TAGGED = PromptForward(Ask(PROMPTS, "forward/node.jinja", "forward", ReplyFormat("tagged")))
JOINT = PromptBackward(
    Ask(PROMPTS, "backward/joint.jinja", "backward", ReplyFormat("tagged", "gradient"))
)
LOOP = "I have to think about it. " * 400


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    async def bounded() -> T:
        async with asyncio.timeout(20):
            return await coroutine

    return asyncio.run(bounded())


def agent(name: str, *predecessors: str) -> Node:
    return Node(name, predecessors, {"instruction": f"{name}.instruction"}, TAGGED)


def code(name: str, *predecessors: str, call: Callable[..., Any], own: bool = False) -> Node:
    parameters = {"rule": f"{name}.rule"} if own else {}
    forward = CallableForward(Function(call, f"tools.{name}"))
    return Node(name, predecessors, parameters, forward, PassThrough(PROMPTS))


def graph_of(*nodes: Node) -> Graph:
    parameters = {
        full: Parameter(full, f"Task of {node.name}.")
        for node in nodes
        for full in node.parameters.values()
    }
    return Graph("test", ("question",), parameters, {n.name: n for n in nodes}, nodes[-1].name)


SINGLE = graph_of(agent("answer", "question"))


def evaluated(graph: Graph, script: Callable[[str, str], Said], *questions: str) -> Evaluation:
    """Return how questions are answered; the right answer is yes."""

    def said(role: str, node: str, messages: Sequence[Message]) -> Said:
        return script(node, " ".join(message.content for message in messages))

    evaluate = Evaluator(graph, Score(Function(scoring.yes_no, "yes_no")), ScriptedLLM(said))
    examples = [Example(q, {"question": q}, "yes") for q in questions]
    return run(evaluate(graph.initial(), examples))


SAYS: Mapping[str, tuple[Said, float | None, str]] = {
    "cut off": (Reply(LOOP, truncated=True), 0.0, "truncated"),
    "cut off before its first word": (CallFailed("used up", "truncated"), 0.0, "truncated"),
    "said twice": ("<output>yes</output><output>no</output>", 0.0, "malformed"),
    "blank": (" \n", 0.0, "empty"),
    "empty, says the client": (CallFailed("the reply was empty", "empty"), 0.0, "empty"),
    "refused": (CallFailed("I cannot help with that", "refusal"), 0.0, "refusal"),
    "refused by a filter": (CallFailed("filtered", "content_filter"), 0.0, "content_filter"),
    "too long a prompt": (CallFailed("does not fit", "context_window"), 0.0, "context_window"),
    "only reasoning": (CallFailed("no text", "reasoning_only"), 0.0, "reasoning_only"),
    "a tool call": (CallFailed("no text", "tool_call"), 0.0, "tool_call"),
    "no connection": (CallFailed("the connection broke", "connection"), None, "connection"),
    "overloaded": (CallFailed("an error at the provider", "server"), None, "server"),
    "too many": (CallFailed("too many requests", "rate_limit"), None, "rate_limit"),
}


@pytest.mark.parametrize(("said", "score", "kind"), SAYS.values(), ids=SAYS)
def test_what_the_model_could_not_answer_scores_0_and_what_others_kept_from_it_nothing(
    said: Said, score: float | None, kind: str
) -> None:
    made = evaluated(
        SINGLE,
        lambda node, prompt: said if "second" in prompt else "<output>yes</output>",
        *("first", "second", "third"),
    )
    outcome, summary = made.outcomes["second"], made.summary()
    assert summary is not None
    assert (outcome.score, outcome.kind) == (score, kind)
    assert outcome.failure is not None
    assert outcome.failure.startswith("answer: ")
    if score is None:
        assert (summary.mean, summary.n, summary.failed, summary.unanswered) == (1, 2, 1, {})
        assert (list(made.failures), list(made.unanswered)) == (["second"], [])
    else:
        assert (round(summary.mean, 3), summary.n, summary.failed) == (0.667, 3, 0)
        assert summary.unanswered == {kind: 1}
        assert (list(made.failures), list(made.unanswered)) == ([], ["second"])


@pytest.mark.parametrize("kind", ["truncated", "connection"])
def test_what_one_member_could_not_answer_is_the_answer_of_all(kind: str) -> None:
    """A hint that was cut off is wrong like an answer that was; its author is named."""
    graph = graph_of(agent("hint", "question"), agent("answer", "question", "hint"))
    lost: Mapping[str, Said] = {
        "truncated": Reply(LOOP, truncated=True),
        "connection": CallFailed("the connection broke", "connection"),
    }

    def said(node: str, prompt: str) -> Said:
        return lost[kind] if node == "hint" and "second" in prompt else "<output>yes</output>"

    outcome = evaluated(graph, said, "first", "second").outcomes["second"]
    assert (outcome.score, outcome.kind) == (0.0 if kind == "truncated" else None, kind)
    assert str(outcome.failure).startswith("hint: ")


def test_kinds_are_told_the_most_frequent_first() -> None:
    assert unanswered_words({"empty": 1, "malformed": 1, "truncated": 2}) == (
        "4 unanswered: truncated 2, empty 1, malformed 1"
    )


def test_code_that_raises_on_what_a_model_wrote_is_wrong_and_on_anything_else_missing() -> None:
    def parse(text: str, rule: str = "") -> str:
        if "second" in text:
            raise ValueError(f"cannot parse {text}")
        return "yes"

    def echo(node: str, prompt: str) -> Said:
        return f"<output>{'second' if 'second' in prompt else 'yes'}</output>"

    written = graph_of(agent("draft", "question"), code("parsed", "draft", call=parse))
    behind = graph_of(
        agent("draft", "question"),
        code("kept", "draft", call=lambda text: text),
        code("parsed", "kept", call=parse),
    )
    ruled = graph_of(code("parsed", "question", call=parse, own=True))
    given = graph_of(code("parsed", "question", call=parse), agent("answer", "parsed"))
    for graph in (written, behind, ruled):
        outcome = evaluated(graph, echo, "first", "second").outcomes["second"]
        assert (outcome.score, outcome.kind) == (0.0, "code")
        told = "parsed: tools.parsed raised ValueError: cannot parse second ("
        assert str(outcome.failure).startswith(told)
    outcome = evaluated(given, echo, "first", "second").outcomes["second"]
    assert (outcome.score, outcome.kind) == (None, "code")


ANSWER, REFUSED = (
    httpx.Response(status, request=httpx.Request("POST", "http://model.example"))
    for status in (503, 400)
)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ConnectionResetError("reset"), "connection"),
        (openai.APIConnectionError(request=ANSWER.request), "bad_reply"),
        (openai.InternalServerError("busy", response=ANSWER, body=None), "server"),
        (openai.BadRequestError("too odd", response=REFUSED, body=None), "code"),
        (TimeoutError("it took longer than 1 s"), "code"),
        (OSError("no such file"), "code"),
    ],
)
@pytest.mark.parametrize("errors", ["stop", "zero"])
def test_what_kept_a_function_from_its_own_model_is_no_wrong_answer(
    error: Exception, kind: str, errors: Any
) -> None:
    """It is asked once more, like a call of a node; but where errors count as 0, it does."""
    left = [error, error]

    def program(text: str, rule: str) -> str:
        if "second" in text and left:
            raise left.pop()
        return "yes"

    def outcome() -> tuple[float | None, str]:
        graph = graph_of(code("program", "question", call=program, own=True))
        scorer = Score(Function(scoring.yes_no, "yes_no"), errors)
        evaluate = Evaluator(graph, scorer, ScriptedLLM({}))
        examples = [Example(q, {"question": q}, "yes") for q in ("first", "second")]
        made = run(evaluate(graph.initial(), examples)).outcomes["second"]
        return made.score, made.kind

    kept = kind != "code" and errors == "stop"
    assert outcome() == (None if kept else 0.0, kind)
    assert len(left) == (0 if kept else 1)


def test_what_the_infrastructure_kept_from_an_answer_is_asked_again_once() -> None:
    """What a model could not answer is not; nor does a request that never gets through go on."""
    passing: int | None = None  # faults that are left, where they end

    def said(role: str, node: str, messages: Sequence[Message]) -> Said:
        prompt = messages[-1].content
        if "third" in prompt:
            return CallFailed("it was refused", "refusal")
        if "fourth" in prompt:
            return CallFailed("the provider does not accept the request", "bad_request")
        if "fifth" in prompt:
            return CallFailed("it sends more than 64 MB", "too_large")
        nonlocal passing
        if "second" in prompt and passing != 0:
            passing = None if passing is None else passing - 1
            return CallFailed("the connection broke", "connection")
        return "<output>yes</output>"

    llm = ScriptedLLM(said)
    evaluate = Evaluator(SINGLE, Score(Function(scoring.yes_no, "yes_no")), llm)
    start, other = SINGLE.initial(), {"answer.instruction": "Other."}
    names = ("first", "second", "third", "fourth", "fifth")
    questions = [Example(q, {"question": q}, "yes") for q in names]

    def asked(parameters: Mapping[str, Any]) -> tuple[int, Mapping[str, float]]:
        before = len(llm.requests)
        made = run(evaluate(parameters, questions))
        return len(llm.requests) - before, made.scores

    wrong = {"third": 0.0, "fourth": 0.0, "fifth": 0.0}
    assert asked(start) == (6, {"first": 1.0} | wrong)
    assert asked(start) == (0, {"first": 1.0} | wrong)
    passing = 1
    assert asked(other) == (6, {"first": 1.0, "second": 1.0} | wrong)


@pytest.mark.parametrize(("fault", "again"), [("connection", True), ("refusal", False)])
def test_so_is_an_output_that_was_kept_from_its_judge(fault: str, again: bool) -> None:
    verdict = '<verdict name="feedback">Fine.</verdict><verdict name="score">1</verdict>'
    left: list[Said] = [CallFailed("no verdict", fault), verdict]

    def said(role: str, node: str, messages: Sequence[Message]) -> Said:
        return left.pop(0) if role == "judge" else "<output>yes</output>"

    ask = Ask(PROMPTS, "score/judge.jinja", "judge", ReplyFormat(tag="verdict"))
    scorer = Weighted({"kind": Objective(Judge(ask, "Be kind."))})
    evaluate = Evaluator(SINGLE, scorer, ScriptedLLM(said))
    examples = [Example("first", {"question": "first"}, "yes")]
    made = run(evaluate(SINGLE.initial(), examples)).outcomes["first"]
    assert (made.score, made.kind) == ((1.0, "") if again else (None, UNJUDGED))


# Learning from it

DESK = graph_of(
    agent("source", "question"),
    agent("left", "source"),
    agent("right", "question"),
    agent("end", "left", "right"),
)


def failed_at(node: str, values: Sequence[str], reply: str = LOOP) -> ForwardPass:
    """Return a pass of the desk in which a node's reply was cut off."""

    async def fail() -> None:
        ask = TAGGED.ask
        llm = ScriptedLLM(lambda *asked: Reply(reply, truncated=True))
        variables = {
            "node": DESK.view(node, DESK.initial()),
            "system": "",
            "predecessors": (),
            "parameters": {"instruction": "Do it."},
        }
        await ask.send(llm, node, variables)

    with pytest.raises(NodeFailed) as raised:
        run(fail())
    failure = Failure(node, str(raised.value), raised.value.calls, raised.value.kind)
    lost = {name: failure for name in (node, "end")}
    known = {"question": "Q?"} | {name: f"value of {name}" for name in values}
    return ForwardPass("one", known, {}, lost)


def backward(passed: ForwardPass) -> tuple[BackwardPass, ScriptedLLM]:
    def script(role: str, node: str, messages: Sequence[Message]) -> Said:
        names = [n for n in DESK.nodes[node].predecessors if n in DESK.nodes]
        return "".join(f'<gradient name="{n}">{node} to {n}</gradient>' for n in names)

    llm = ScriptedLLM(script)
    how = Differentiation(JOINT)
    made = propagate(DESK, DESK.initial(), passed, "Unread.", DESK.optimisable, how, llm)
    return run(made), llm


def test_feedback_reaches_the_node_that_failed_and_what_it_was_given() -> None:
    passed = failed_at("left", ["source", "right"])
    made, llm = backward(passed)
    assert made.failures == {}
    assert {name: given for name, given in made.gradients.items() if given} == {
        "source": (Gradient("left", "left to source"),),
        "left": (Gradient(LOSS, "Unread."),),
    }
    (request,) = llm.requests
    shown = request.messages[-1].content
    assert LOOP[:1000] in shown
    assert LOOP not in shown
    evidence = gather_evidence(DESK, [passed], {"one": made}, DESK.optimisable)
    assert list(evidence) == ["source.instruction", "left.instruction"]
    (item,) = evidence["left.instruction"]
    assert item.predecessors == {"source": "value of source"}
    assert item.output.startswith(LOOP[:1000])
    assert "characters left out" in item.output


def test_feedback_reaches_the_output_where_that_failed() -> None:
    made, llm = backward(failed_at("end", ["source", "left", "right"], reply="Well, the"))
    assert made.gradients["end"] == (Gradient(LOSS, "Unread."),)
    assert made.gradients["source"] == (Gradient("left", "left to source"),)
    assert "Well, the" in llm.requests[0].messages[-1].content


# What the loss says

EXAMPLE = Example("e", {"question": "Q?"}, "yes")
LOSS_TEXT = PromptLoss(PROMPTS, "loss/expected.jinja")


def told(output: str, score: float, reading: Reading) -> Any:
    return run(LOSS_TEXT.feedback(EXAMPLE, output, score, None, reading)).value


@pytest.mark.parametrize(
    ("scorer", "output", "target", "words"),
    [
        (
            scoring.yes_no,
            "No way, it is not so. No",
            "yes",
            "no; compared as yes/no: its first or last word",
        ),
        (
            scoring.yes_no,
            "I cannot tell.",
            "yes",
            "nothing; compared as yes/no: its first or last word",
        ),
        (
            scoring.number,
            "3 + 4 is 8, or so",
            "7",
            "8; compared as a number: the one after 'answer:', else the last",
        ),
        (
            scoring.option,
            "It is (C), clearly",
            "(B)",
            "C; compared as an option letter: the one after 'answer:', else the only one",
        ),
        (
            scoring.like_target,
            "It is (C), clearly",
            "(B)",
            "C; compared as an option letter: the one after 'answer:', else the only one",
        ),
        (
            scoring.like_target,
            "Answer: 1,200 eggs",
            "7",
            "1200; compared as a number: the one after 'answer:', else the last",
        ),
        (
            scoring.like_target,
            "about 3",
            7,
            "3; compared as a number: the one after 'answer:', else the last",
        ),
    ],
)
def test_the_loss_says_what_was_read_and_how_it_was_compared(
    scorer: Callable[..., float], output: str, target: Any, words: str
) -> None:
    assert scorer(output, target) == 0
    reading = Score(Function(scorer, "scorer")).reading(output, target)
    assert told(output, 0.0, reading) == (
        f"The output is wrong (read as: {words}). The expected answer is: yes"
    )


@pytest.mark.parametrize("output", ["No", "**no**.", "no"])
def test_nothing_is_said_of_the_reading_where_the_output_is_the_answer(output: str) -> None:
    reading = Score(Function(scoring.yes_no, "yes_no")).reading(output, "yes")
    assert told(output, 0.0, reading) == "The output is wrong. The expected answer is: yes"
    own = Score(Function(lambda output, target: 0.0, "own")).reading(output, "yes")
    assert told(output, 0.0, own) == "The output is wrong. The expected answer is: yes"


def test_the_loss_says_why_no_answer_could_be_read() -> None:
    cut = Failure("end", "3 replies ...", (), "truncated")
    assert told("Well, the", 0.0, unread(cut, "end")) == (
        "No answer could be read: the reply ends in mid-sentence at the token limit. "
        "The expected answer is: yes"
    )
    inner = Failure("left", "tools.left raised ValueError: no number", (), "code")
    assert told("(nothing)", 0.0, unread(inner, "end")) == (
        "No answer could be read: left gave nothing to go on with: tools.left raised ValueError: "
        "no number. What was expected in the end is: yes"
    )


def test_a_loss_in_python_is_not_asked_about_an_output_that_is_none() -> None:
    loss = CallableLoss(Function(lambda output, target: 1 / 0, "loss"))
    cut = unread(Failure("end", "3 replies ...", (), "truncated"), "end")
    with pytest.raises(NodeFailed, match="there is no output to compare: the reply ends in mid"):
        run(loss.feedback(EXAMPLE, "Well, the", 0.0, None, cut))
