"""A run whose first examples all fail for one reason stops at once, and says what to change."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import Start

from sgdflow.config.compose import compose
from sgdflow.config.paths import prompt_folders
from sgdflow.config.prepare import prepare, validated
from sgdflow.errors import CallFailed, NothingAnswered
from sgdflow.llm import Message, Reply
from sgdflow.llm.scripted import Said, ScriptedLLM
from sgdflow.prompting.templates import Prompts
from sgdflow.records import RunFolder
from sgdflow.runs.run import evaluate, optimise
from sgdflow.tracking import NullTracker

ORDERS = ("graph.inputs=[order]", "graph.nodes.answer.predecessors=[order]")
STRICT = "graph.forward.reply={format: tagged, untagged: fail}"


def run(
    folder: Path, llm: ScriptedLLM, *words: str, command: str = "evaluate"
) -> Mapping[str, Any]:
    few = ["task.splits.train=12", "task.splits.validation=0", "task.splits.test=12"]
    raw = compose(["graph=single", *ORDERS, "tracking=none", *few, *words])
    ready = prepare(raw, Prompts(prompt_folders(folder)), {})
    place = RunFolder(folder / "run")
    if command == "optimise":
        return asyncio.run(optimise(ready, raw, llm, NullTracker(), place))
    return asyncio.run(evaluate(ready, llm, place))


STOPS: dict[str, tuple[Sequence[str], Said, str, int]] = {
    "no tags": (
        [STRICT],
        "It is 7.",
        "The first 5 examples all failed for one reason, so that nothing else was asked "
        "(llm.limits.first=5): malformed.\n"
        "answer: 3 replies of the forward model could not be used: <output> is missing.\n"
        "Take replies without tags whole (graph.forward.reply.untagged=whole), or all replies as "
        "they are (graph.forward.reply.format=text).",
        15,
    ),
    "tags that differ": (
        ["llm.limits.first=2"],
        "<output>7</output><output>8</output>",
        "The first 2 examples all failed for one reason, so that nothing else was asked "
        "(llm.limits.first=2): malformed.\n"
        "answer: 3 replies of the forward model could not be used: <output> stands 2 times; write "
        "it exactly once.\n"
        "Take replies as they are: graph.forward.reply.format=text.",
        6,
    ),
    "cut off": (
        ["llm=vllm", "llm.parameters.max_tokens=300", "graph.forward.attempts=1"],
        Reply("I am thinking of", truncated=True),
        "The first 5 examples all failed for one reason, so that nothing else was asked "
        "(llm.limits.first=5): truncated.\n"
        "answer: 1 reply of the forward model could not be used: it was cut off at the token "
        "limit.\n"
        "Give replies more room (llm.parameters.max_tokens=600), ask for shorter ones, or use what "
        "there is (graph.forward.reply.truncated=keep).",
        5,
    ),
    "one node's own limit": (
        [
            "llm=vllm",
            "llm.models.forward={model: a/b, parameters: {max_tokens: 50}}",
            "graph.nodes.answer.forward={attempts: 1, reply: {tag: sum}}",
        ],
        Reply("I am thinking of", truncated=True),
        "(llm.limits.first=5): truncated.\n"
        "answer: 1 reply of the forward model could not be used: it was cut off at the token "
        "limit.\n"
        "Give replies more room (llm.models.forward.parameters.max_tokens=100), ask for shorter "
        "ones, or use what there is (graph.nodes.answer.forward.reply.truncated=keep).",
        5,
    ),
    "refused": (
        [],
        CallFailed("the model refused.", "refusal"),
        "(llm.limits.first=5): refusal.\nanswer: the model refused.\n"
        "Ask in other words (graph.nodes.answer.parameters.instruction=TEXT), or another model "
        "(llm.models.forward=PROVIDER/MODEL).",
        5,
    ),
    "refused by a filter, the instruction being shared": (
        [
            "+graph.parameters={task: Solve it.}",
            "graph.nodes.answer.parameters={instruction: {shared: task}}",
        ],
        CallFailed("refused by a content filter.", "content_filter"),
        "(llm.limits.first=5): content_filter.\nanswer: refused by a content filter.\n"
        "Ask in other words (graph.forward.prompt=FILE), or another model "
        "(llm.models.forward=PROVIDER/MODEL).",
        5,
    ),
    "too long a prompt of a node's own": (
        ["graph.nodes.answer.forward={prompt: forward/node.jinja}"],
        CallFailed("it does not fit.", "context_window"),
        "(llm.limits.first=5): context_window.\nanswer: it does not fit.\n"
        "Take a model with a larger window (llm.models.forward=PROVIDER/MODEL), or a prompt that "
        "shows less (graph.nodes.answer.forward.prompt=FILE).",
        5,
    ),
    "too long a prompt, of a node with a role of its own": (
        ["graph.nodes.answer.forward={role: backward}"],
        CallFailed("it does not fit.", "context_window"),
        "Take a model with a larger window (llm.models.backward=PROVIDER/MODEL), or a prompt that "
        "shows less (graph.forward.prompt=FILE).",
        5,
    ),
    "too long a prompt": (
        [],
        CallFailed("it does not fit.", "context_window"),
        "(llm.limits.first=5): context_window.\nanswer: it does not fit.\n"
        "Take a model with a larger window (llm.models.forward=PROVIDER/MODEL), or a prompt that "
        "shows less (graph.forward.prompt=FILE).",
        5,
    ),
    "only reasoning": (
        ["llm=vllm", "llm.models.forward={model: a/b, parameters: {top_k: 1}}"],
        CallFailed("no text.", "reasoning_only"),
        "(llm.limits.first=5): reasoning_only.\nanswer: no text.\n"
        "Switch thinking off, which vLLM, SGLang and llama.cpp do with "
        "'llm.models.forward.parameters.chat_template_kwargs={enable_thinking: false}', or take "
        "another model (llm.models.forward=PROVIDER/MODEL).",
        5,
    ),
    "only reasoning, of a model that is no more than a name": (
        ["llm=vllm", "llm.models.forward=a/b"],
        CallFailed("no text.", "reasoning_only"),
        "(llm.limits.first=5): reasoning_only.\nanswer: no text.\n"
        "Switch thinking off, which vLLM, SGLang and llama.cpp do with 'llm.models.forward={model: "
        "a/b, parameters: {chat_template_kwargs: {enable_thinking: false}}}', or take another "
        "model (llm.models.forward=PROVIDER/MODEL).",
        5,
    ),
    "a tool call": (
        [],
        CallFailed("it called a tool.", "tool_call"),
        "(llm.limits.first=5): tool_call.\nanswer: it called a tool.",
        5,
    ),
    "no connection": (
        [],
        CallFailed("a/b gave no reply. Try again later.", "connection"),
        "(llm.limits.first=5): connection.\nanswer: a/b gave no reply. Try again later.",
        5,
    ),
}


@pytest.mark.parametrize(("words", "said", "told", "calls"), STOPS.values(), ids=STOPS)
@pytest.mark.parametrize("command", ["evaluate", "optimise"])
def test_it_stops_before_the_others_are_asked(
    command: str, words: Sequence[str], said: Said, told: str, calls: int, tmp_path: Path
) -> None:
    llm = ScriptedLLM(lambda *asked: said)
    with pytest.raises(NothingAnswered) as stopped:
        run(tmp_path, llm, *words, command=command)
    assert str(stopped.value).endswith(told)
    assert len(llm.requests) == calls
    assert not (tmp_path / "run" / "result.json").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["graph.nodes.answer.parameters.instruction=Do."],
        ["graph.forward.prompt=forward/node.jinja", "llm.models.forward=a/b"],
        ["llm.models.forward.parameters.chat_template_kwargs={enable_thinking: false}"],
        [
            "llm.models.forward={model: a/b, parameters: "
            "{chat_template_kwargs: {enable_thinking: false}}}"
        ],
    ],
)
def test_each_key_that_a_remedy_names_is_accepted(words: Sequence[str]) -> None:
    assert validated(compose(["graph=single", "llm=vllm", *words]))


def test_the_command_ends_with_1_and_each_remedy_that_it_names_mends_it(
    at: Start, tmp_path: Path
) -> None:
    """A prompt that asks for no tags, and simulated models that then write none."""
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "bare.jinja").write_text("{{ order }}\n{{ instruction }}\n")
    words = ["graph=single", *ORDERS, "tracking=none", "graph.forward.prompt=bare.jinja"]
    words += ["task.splits={train: 9, validation: 0, test: 9}", "method.stop.steps=1"]
    run_in = "hydra.run.dir={}".format
    strict = "graph.forward.reply.untagged=fail"
    code, said, wrong = at(tmp_path, "optimize", *words, strict, run_in("strict"))
    assert code == 1
    assert "The first 5 examples all failed for one reason" in wrong
    assert "Traceback" not in said + wrong
    remedies = re.findall(r"graph\.forward\.[\w.]+=\w+", wrong)
    assert remedies == ["graph.forward.reply.untagged=whole", "graph.forward.reply.format=text"]
    for number, remedy in enumerate(remedies):
        code, _, wrong = at(tmp_path, "optimize", *words, remedy, run_in(number))
        assert (code, "all failed" in wrong) == (0, False)


def test_one_answer_or_two_reasons_are_enough_to_go_on(tmp_path: Path) -> None:
    def differently(first: Said, others: Said) -> ScriptedLLM:
        seen: list[str] = []

        def script(role: str, node: str, messages: Sequence[Message]) -> Said:
            seen.append(messages[1].content)
            return first if messages[1].content == seen[0] else others

        return ScriptedLLM(script)

    one_attempt = "graph.forward.attempts=1"
    llm = differently("<output>7</output>", "It is 7.")
    record = run(tmp_path, llm, STRICT, one_attempt)
    assert record["score"]["unanswered"] == {"malformed": 11}
    llm = differently("<output>7</output><output>8</output>", Reply("It is", truncated=True))
    record = run(tmp_path, llm, one_attempt)
    assert record["score"]["unanswered"] == {"malformed": 1, "truncated": 11}
    assert list(record["unanswered"]) == list(record["examples"])
    assert {one["kind"] for one in record["unanswered"].values()} == {"malformed", "truncated"}


def test_it_can_be_left_to_go_on(tmp_path: Path) -> None:
    words = [STRICT, "llm.limits.first=null", "graph.forward.attempts=1"]
    record = run(tmp_path, ScriptedLLM(lambda *asked: "It is 7."), *words)
    assert record["score"]["n"] == 12
    assert record["score"]["unanswered"] == {"malformed": 12}


def test_the_others_wait_for_one_of_the_first_to_be_answered(tmp_path: Path) -> None:
    asked: list[int] = []

    class OneByOne(ScriptedLLM):
        """Answers one after the other, and sees how many had been asked each time."""

        async def complete(
            self, role: str, messages: Sequence[Message], *, node: str, sample: int = 0
        ) -> Reply:
            number = len(self.requests)
            reply = await super().complete(role, messages, node=node, sample=sample)
            for _ in range(20 * (number + 1)):
                await asyncio.sleep(0)
            asked.append(len(self.requests))
            return reply

    llm = OneByOne(lambda *said: "<output>7</output>")
    assert run(tmp_path, llm)["score"]["n"] == 12
    assert asked[0] == 5
    assert asked[1:] == [12] * 11
