"""A declared length of gradients: a longer one is asked for again, and never cut."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from sgdflow.config.compose import compose
from sgdflow.config.paths import prompt_folders
from sgdflow.config.prepare import Prepared, prepare
from sgdflow.errors import ConfigError
from sgdflow.executor.backward import BackwardPass, Differentiation, backward_pass
from sgdflow.executor.backward_functions import PromptBackward
from sgdflow.executor.forward import ForwardPass, PromptForward
from sgdflow.executor.graph import Graph, Node, Parameter
from sgdflow.llm import Message
from sgdflow.llm.scripted import ScriptedLLM
from sgdflow.prompting.ask import Ask
from sgdflow.prompting.replies import ReplyFormat
from sgdflow.prompting.templates import Prompts

PROMPTS = Prompts(prompt_folders(Path(__file__).parent))
FORWARD = PromptForward(Ask(PROMPTS, "forward/node.jinja", "forward", ReplyFormat("text")))
TEMPLATES = ("joint", "comment", "edge", "local", "textgrad", "short")
LIMIT = 80


def told(length: int, rule: str = "CHANGE: say what heavy costs") -> str:
    return rule + "." * (length - len(rule))


def two() -> Graph:
    """Return two members that feed a third one."""
    names = ("weight", "zone", "desk")
    given = {"weight": ("order",), "zone": ("order",), "desk": ("weight", "zone")}
    nodes = {n: Node(n, given[n], {"instruction": f"{n}.instruction"}, FORWARD) for n in names}
    texts = {f"{n}.instruction": Parameter(f"{n}.instruction", f"Task of {n}.") for n in names}
    return Graph("two", ("order",), texts, nodes, "desk")


def critics(
    lengths: Sequence[int], longest: int | None, template: str = "joint"
) -> tuple[BackwardPass, Sequence[Sequence[Message]]]:
    """Return what comes of gradients of these lengths for `zone`, one a reply; and all prompts."""
    left = iter(lengths)

    def script(role: str, node: str, messages: Sequence[Message]) -> str:
        asked = re.findall(r'<gradient name="(\w+)">', messages[-1].content)
        said = {one: told(next(left) if one == "zone" else LIMIT) for one in dict.fromkeys(asked)}
        return "".join(f'<gradient name="{n}">{text}</gradient>' for n, text in said.items())

    path = f"backward/{template}.jinja" if template != "short" else "short/backward/joint.jinja"
    ask = Ask(PROMPTS, path, "backward", ReplyFormat("tagged", "gradient"))
    function = PromptBackward(ask, template in ("edge", "textgrad"), max_characters=longest)
    graph, llm = two(), ScriptedLLM(script)
    texts = graph.initial()
    passed = ForwardPass("e", {"order": "Q", "weight": "1", "zone": "2", "desk": "3"}, {}, {})
    how = Differentiation(function)
    found = asyncio.run(backward_pass(graph, texts, passed, "wrong", tuple(texts), how, llm))
    return found, [request.messages for request in llm.requests]


@pytest.mark.parametrize("lengths", [[LIMIT], [LIMIT + 1, LIMIT], [900, 100, LIMIT]])
def test_a_longer_gradient_is_asked_for_again(lengths: Sequence[int]) -> None:
    found, prompts = critics(lengths, LIMIT)
    assert found.failures == {}
    assert len(prompts) == len(lengths)
    (gradient,) = found.gradients["zone"]
    assert gradient.value == told(LIMIT)
    for length, prompt in zip(lengths, prompts[1:], strict=False):
        why = f"what it says of zone has {length} characters; at most {LIMIT} may be used"
        assert why in prompt[-1].content


def test_what_stays_too_long_is_as_what_cannot_be_read_and_is_not_cut() -> None:
    found, prompts = critics([200, 300, 400], LIMIT)
    assert len(prompts) == 3
    assert "zone has 400 characters" in found.failures["desk"].reason
    assert found.failures["desk"].kind == "malformed"
    assert {"weight", "zone"} & found.gradients.keys() == set()
    whole, _ = critics([400], None)
    assert whole.gradients["zone"][0].value == told(400)


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_prompt_says_the_limit_where_there_is_one_and_nothing_else_differs(
    template: str,
) -> None:
    lengths = [LIMIT] * 4
    _, plain = critics(lengths, None, template)
    _, limited = critics(lengths, LIMIT, template)
    assert len(plain) == len(limited) > 0
    each = "" if template in ("edge", "textgrad") else " for each"
    line = f"Use at most {LIMIT} characters{each}."
    for before, after in zip(plain, limited, strict=True):
        assert [one.content for one in before[:-1]] == [one.content for one in after[:-1]]
        text = after[-1].content
        assert text.count(line) == 1
        shorter = text.replace(f" {line}" if template == "short" else f"- {line}\n", "")
        assert shorter == before[-1].content


def prepared(longest: str) -> Prepared:
    word = f"method.backward.max_characters={longest}"
    return prepare(compose(["experiments=quickstart", "tracking=none", word]), PROMPTS, {})


@pytest.mark.parametrize(("declared", "longest"), [("null", None), ("50", 50), ("1200", 1200)])
def test_the_length_is_declared(declared: str, longest: int | None) -> None:
    how = prepared(declared).method.differentiation
    assert how is not None
    assert isinstance(how.default, PromptBackward)
    assert how.default.max_characters == longest


@pytest.mark.parametrize("wrong", ["0", "-3", "49", "many", "1.5"])
def test_a_length_that_holds_no_gradient_is_refused(wrong: str) -> None:
    with pytest.raises(ConfigError, match=r"^method\.backward\.max_characters: ") as told_of:
        prepared(wrong)
    assert wrong in str(told_of.value)
