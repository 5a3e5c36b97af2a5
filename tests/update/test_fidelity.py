"""The paper's configuration, call for call, as docs/fidelity.md describes it."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from sgdflow.config.build import build_graph, build_method, expand_graph
from sgdflow.config.compose import compose
from sgdflow.config.paths import prompt_folders
from sgdflow.config.schema import MethodConf
from sgdflow.data import Example, Splits
from sgdflow.data.scoring import number
from sgdflow.descent import Descent, Result, Scores, Step
from sgdflow.descent.method import Problem
from sgdflow.executor.functions import Function
from sgdflow.executor.scores import Score
from sgdflow.llm import Message
from sgdflow.llm.scripted import Request, ScriptedLLM
from sgdflow.prompting.templates import Prompts

PROMPTS = Prompts(prompt_folders(Path(__file__).parent))
QUESTIONS = {f"How much is {i} and {i}?": str(2 * i) for i in range(11, 17)}
FAILURES, STEPS = 2, 2
HINTS = ("hint_1", "hint_2")
NODES = (*HINTS, "answer")
WRITTEN = {
    1: {node: f"First text for {node}." for node in NODES},
    2: {node: f"Second text for {node}." for node in NODES},
}
"""What the optimizer replies in each step; the first helps, the second does not."""


class Recorded:
    """Replies as they were recorded: with the first rewrite half of the answers become right."""

    def __init__(self) -> None:
        self._rewrites: Counter[str] = Counter()

    def __call__(self, role: str, node: str, messages: Sequence[Message]) -> str:
        text = messages[-1].content
        if role == "optimizer":
            name = node.removesuffix(".instruction")
            self._rewrites[name] += 1
            return (
                f"It should say more.\n<improved>{WRITTEN[self._rewrites[name]][name]}</improved>"
            )
        if role == "backward":
            return "".join(
                f'<gradient name="{hint}">{gradient(question_in(text), hint)}</gradient>'
                for hint in HINTS
            )
        if node in HINTS:
            return f"<output>{hint_value(question_in(text), node)}</output>"
        right = QUESTIONS[question_in(text)]
        helped = "First text for answer." in text and int(right) % 4 == 0
        return f"I add.\n<output>{right if helped else '1'}</output>"


def question_in(text: str) -> str:
    return next(question for question in QUESTIONS if question in text)


def hint_value(question: str, node: str) -> str:
    return f"{node} on <{question}>"


def gradient(question: str, hint: str) -> str:
    return f"{hint} should name the sum asked for in <{question}>."


class Watch:
    """Collects what a descent tells."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def scored(self, initial: Scores) -> None:
        pass

    def stepped(self, step: Step) -> None:
        self.steps.append(step)


@pytest.fixture(scope="module")
def played() -> tuple[Result, list[Step], list[Request]]:
    raw = compose(["graph=hints", "method=paper", f"method.stop.steps={STEPS}"])
    graph = build_graph(expand_graph(raw["graph"]), PROMPTS)
    method = build_method(MethodConf.model_validate(raw["method"]), graph, PROMPTS)
    train = tuple(Example(q, {"question": q}, a) for q, a in QUESTIONS.items())
    score = Score(Function(number, "number"))
    problem = Problem(graph, score, Splits(train, (), ()), graph.optimisable, 0)
    llm, watch = ScriptedLLM(Recorded()), Watch()
    result = asyncio.run(Descent(problem, method, llm, watch).run(graph.initial()))
    return result, watch.steps, llm.requests


def text_of(request: Request) -> str:
    return "\n".join(message.content for message in request.messages)


def sampled(step: Step) -> list[str]:
    return [one.forward.example for one in step.tried.learned]


def test_number_of_calls(played: tuple[Result, list[Step], list[Request]]) -> None:
    result, steps, requests = played
    n = len(QUESTIONS)
    assert result.steps == STEPS
    calls = Counter((request.role, request.node) for request in requests)
    assert calls == {
        **{("forward", node): n * (1 + STEPS) for node in NODES},
        ("backward", "answer"): FAILURES * STEPS,
        **{("optimizer", f"{node}.instruction"): STEPS for node in NODES},
    }
    assert [len(step.tried.learned) for step in steps] == [FAILURES] * STEPS


def test_order_of_calls(played: tuple[Result, list[Step], list[Request]]) -> None:
    """Score, differentiate, rewrite, score anew; and so on."""
    _, _, requests = played
    roles = [request.role for request in requests]
    n = 3 * len(QUESTIONS)
    step = ["backward"] * FAILURES + ["optimizer"] * 3 + ["forward"] * n
    assert roles == ["forward"] * n + step * STEPS


def test_the_gate_is_strict_on_the_training_examples(
    played: tuple[Result, list[Step], list[Request]],
) -> None:
    result, steps, _ = played
    assert [step.tried.decision.accepted for step in steps] == [True, False]
    assert all(set(step.tried.current.outcomes) == set(QUESTIONS) for step in steps)
    assert steps[1].tried.decision.reason.startswith("worse: 0.5 -> 0")
    assert dict(result.parameters) == {f"{n}.instruction": WRITTEN[1][n] for n in NODES}


def test_only_failures_are_learned_from(played: tuple[Result, list[Step], list[Request]]) -> None:
    _, steps, _ = played
    for step in steps:
        assert all(step.tried.current.scores[question] == 0 for question in sampled(step))


def test_what_a_node_is_told(played: tuple[Result, list[Step], list[Request]]) -> None:
    """The question, its instruction, and for the final node both hints; never the target."""
    _, _, requests = played
    for request in (r for r in requests if r.role == "forward"):
        text = text_of(request)
        question = question_in(text)
        shown = re.findall(r'<variable name="(\w+)">\n(.*?)\n</variable>', text)
        hints = [(hint, hint_value(question, hint)) for hint in HINTS]
        expected = [("question", question), *(hints if request.node == "answer" else [])]
        assert shown == expected
        assert len(re.findall(r"<instruction>\n.+\n</instruction>", text)) == 1
        assert QUESTIONS[question] not in text


def test_what_the_joint_backward_call_is_told(
    played: tuple[Result, list[Step], list[Request]],
) -> None:
    """The node's task, the question, both hints, the output and the feedback, in one call."""
    _, steps, requests = played
    calls = [text_of(r) for r in requests if r.role == "backward"]
    asked_about = [question for step in steps for question in sampled(step)]
    assert [question_in(text) for text in calls] == asked_about
    for text, step in zip(calls, [s for s in steps for _ in range(FAILURES)], strict=True):
        question = question_in(text)
        assert f"<instruction>\n{step.tried.parameters['answer.instruction']}\n" in text
        assert f"`question`: {question}\n" in text
        for hint in HINTS:
            assert f"`{hint}`: {hint_value(question, hint)}\n" in text
        assert "\nOutput: 1\n" in text
        (feedback,) = re.findall(r"^Feedback from `loss`: (.*)$", text, re.MULTILINE)
        assert feedback.endswith(f"The expected answer is: {QUESTIONS[question]}")
        assert re.findall(r'<gradient name="(\w+)">', text) == [*HINTS]


def test_what_a_rewrite_is_told(played: tuple[Result, list[Step], list[Request]]) -> None:
    """The current text and, per example, the node's input, its output and its own feedback."""
    _, steps, requests = played
    calls = [r for r in requests if r.role == "optimizer"]
    for count, request in enumerate(calls):
        step, text = steps[count // 3], text_of(request)
        node = request.node.removesuffix(".instruction")
        current = step.tried.parameters[request.node]
        assert f'<parameter name="{request.node}">\n{current}\n</parameter>' in text
        examples = re.findall(r"<example>(.*?)</example>", text, re.DOTALL)
        assert [question_in(example) for example in examples] == sampled(step)
        for example in examples:
            question = question_in(example)
            if node in HINTS:
                assert f"\nOutput: {hint_value(question, node)}\n" in example
                feedback = f"\nFeedback: {gradient(question, node)}\n"
                assert "All feedback is from `answer`." in text
                assert QUESTIONS[question] not in example  # only through the gradient
            else:
                assert "\nOutput: 1\n" in example
                feedback = f"The expected answer is: {QUESTIONS[question]}\n"
                assert all(hint_value(question, hint) in example for hint in HINTS)
            assert feedback in example
