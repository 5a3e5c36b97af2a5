"""What a critic is shown of a member's work, and gradients that would be of no use."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from sgdflow.config.build import build_graph, build_method, expand_graph
from sgdflow.config.compose import compose
from sgdflow.config.paths import prompt_folders
from sgdflow.config.prepare import validated
from sgdflow.executor.backward import BackwardPass, Differentiation, backward_pass
from sgdflow.executor.backward_functions import PromptBackward
from sgdflow.executor.forward import ForwardPass
from sgdflow.executor.gradients import LOSS, Gradient
from sgdflow.executor.graph import Graph, Operands
from sgdflow.executor.places import View
from sgdflow.llm import Message
from sgdflow.llm.scripted import Said, ScriptedLLM
from sgdflow.prompting.ask import Ask
from sgdflow.prompting.replies import ReplyFormat
from sgdflow.prompting.templates import Prompts

PROMPTS = Prompts(prompt_folders(Path(__file__).parent))
FEEDBACK = "The output is wrong. The expected answer is: 22"
GRAPH = """
name: desk
inputs: [order, customer]
nodes:
  weight: {predecessors: [order], parameters: {instruction: Price a part.}}
  zone: {predecessors: [order], parameters: {instruction: Price a part.}}
  mood: {predecessors: [customer], parameters: {instruction: Guess the mood.}}
  desk:
    predecessors: [weight, zone, mood, customer]
    parameters: {instruction: Add the prices up.}
output: desk
"""
VALUES = {
    "order": "Weight: heavy. Zone: east.",
    "customer": "Mary",
    "weight": "7",
    "zone": "7",
    "mood": "glad",
    "desk": "14",
}
FORMS = {
    "joint": "backward/joint.jinja",
    "comment": "backward/comment.jinja",
    "textgrad": "backward/textgrad.jinja",
    "short": "short/backward/joint.jinja",
    "edge": "backward/edge.jinja",
}


def graph() -> Graph:
    return build_graph(expand_graph(yaml.safe_load(GRAPH)), PROMPTS)


def critic(form: str, **changes: Any) -> PromptBackward:
    ask = Ask(PROMPTS, FORMS[form], "backward", ReplyFormat("tagged", "gradient"))
    function = PromptBackward(ask, per_edge=form in ("edge", "textgrad"), neighbors=form != "edge")
    return replace(function, **changes)


def differentiate(
    function: PromptBackward, llm: ScriptedLLM, values: Mapping[str, Any]
) -> BackwardPass:
    desk, passed = graph(), ForwardPass("one", values, {}, {})
    how = Differentiation(function)
    names = desk.optimisable
    return asyncio.run(backward_pass(desk, desk.initial(), passed, FEEDBACK, names, how, llm))


def says(text: str) -> Any:
    """Return a critic that says the same of each value it is asked about."""

    def script(role: str, node: str, messages: Sequence[Message]) -> Said:
        names = re.findall(r'<gradient name="(\w+)">', messages[-1].content)
        return "\n".join(f'<gradient name="{n}">{text}</gradient>' for n in dict.fromkeys(names))

    return script


def prompts(form: str, values: Mapping[str, Any] = VALUES) -> list[str]:
    llm = ScriptedLLM(says("Look the price up by what the order says."))
    differentiate(critic(form), llm, values)
    return [request.messages[-1].content for request in llm.requests]


@pytest.mark.parametrize("form", ["joint", "comment", "textgrad", "short"])
def test_equal_values_of_members_told_the_same_are_said_so(form: str) -> None:
    said = "told the same"
    assert all(said in prompt and "weight, zone" in prompt for prompt in prompts(form))
    divided = re.compile(r"Ask each for (?:a part of the work of its own|different work)\.")
    assert all(divided.search(prompt) for prompt in prompts(form))
    for other in ({"zone": "8"}, {"mood": "7", "zone": "8"}):  # told otherwise: no wonder
        assert not any(said in prompt for prompt in prompts(form, {**VALUES, **other}))


@pytest.mark.parametrize("form", ["joint", "comment", "textgrad", "short"])
def test_what_predecessors_were_given_and_told_is_shown(form: str) -> None:
    """The order was given to two of them and not to the desk; the customer to the desk itself."""
    for prompt in prompts(form):
        behind = "`order`, given to their authors: Weight: heavy. Zone: east.\n"
        if form == "short":
            behind = '<given name="order">\nWeight: heavy. Zone: east.\n</given>'
        assert prompt.count(behind) == 1
        assert not re.search(r'`customer`, given|<given name="customer">', prompt)
        told = '`weight` (from a member that is given order and told "Price a part.")'
        assert (
            'The writer of weight was told: "Price a part."' if form == "short" else told
        ) in prompt


def test_a_long_value_that_the_node_was_not_given_is_shown_in_part() -> None:
    (prompt,) = prompts("joint", {**VALUES, "order": "heavy " * 1000})
    assert "characters left out" in prompt
    assert len(prompt) < 6000


def test_a_critic_of_one_value_sees_nothing_of_its_neighbors() -> None:
    by_target = {
        re.findall(r"`desk` is given `(\w+)`", prompt)[0]: prompt for prompt in prompts("edge")
    }
    assert set(by_target) == {"weight", "zone", "mood"}
    assert "Price a part." not in by_target["mood"]
    assert "Weight: heavy" not in by_target["mood"]
    assert "Weight: heavy" in by_target["weight"]
    assert "Guess the mood." not in by_target["weight"] + by_target["zone"]
    assert "glad" not in by_target["weight"] + by_target["zone"]


@pytest.mark.parametrize("form", FORMS)
def test_a_critic_is_asked_for_the_rule_and_may_find_no_fault(form: str) -> None:
    for prompt in prompts(form):
        assert re.search(r"[Rr]ule", prompt)
        assert re.search(r"to copy is of no use|Do not give the answer", prompt)
        assert "KEEP" in prompt
        # TextGrad's own prompt asks about one variable, whatever else of the call may be at fault.
        assert re.search("the (member|helper) itself erred", prompt) or form == "textgrad"


REPEATING = {
    "It should have been 22.": True,
    "The expected answer is 22, so the value must be 22 instead.": True,
    "Wrong: 22": True,
    "Nothing should change.": False,
    "KEEP: the answer should have been 22.": False,
    "CHANGE: it should have been 22.": True,
    "Heavy parcels cost 15: look each weight up.": False,
    "It cannot be told.": False,
    "CHANGE: Output exactly 22.": True,
    "the final total should be 22": True,
    "Answer 22 here": True,
    "write 22 instead of 14": True,
    "The correct value is 22, not 7": True,
    "Hint that the solution is 22": True,
    "Produce 22.": True,
    "The correct value is 22, not 9": False,  # nobody wrote a 9
    "Add the two amounts before you answer 22": False,
    "The tax of 8 % is missing, so that 14 should be 22": False,
    "Count olive as a fruit: 22": False,
    "The total is 7 and 14, hence 22": False,  # how it comes about
    "7 + 14 = 22": False,
    "Write the final total.": False,  # of the form
    "glad is 22": False,  # what a word is worth
}


@pytest.mark.parametrize(("text", "repeats"), REPEATING.items())
def test_a_gradient_that_only_repeats_the_feedback_is_asked_for_once_more(
    text: str, repeats: bool
) -> None:
    llm = ScriptedLLM(says(text))
    passed = differentiate(critic("joint", rules=True), llm, VALUES)
    assert len(llm.requests) == 1 + repeats
    if repeats:
        asked = llm.requests[1].messages[-1].content
        assert "what it says of weight, zone, mood only repeats the feedback" in asked
        assert "state the rule by which the right value is found" in asked
        assert '<gradient name="weight">...</gradient>' in asked
    # What is said again is taken: a critic that knows no rule must not fail the example.
    assert passed.failures == {}
    assert {g.value for v in ("weight", "zone", "mood") for g in passed.gradients[v]} == {text}
    llm = ScriptedLLM(says(text))
    differentiate(critic("joint"), llm, VALUES)
    assert len(llm.requests) == 1  # method.backward.rules=false


def test_a_rule_of_another_critic_may_be_handed_on() -> None:
    passed, rule = "CHANGE: the price should be 22.", "CHANGE: heavy parcels cost 22."
    llm = ScriptedLLM(lambda role, node, messages: f'<gradient name="a">{passed}</gradient>')
    node, operands = View("b", ("a",), (), {}), Operands({"a": "7"}, {})
    for source, calls in (("c", 1), (LOSS, 2)):
        llm.requests.clear()
        for said in (passed, rule):
            heard = (Gradient(source, said),)
            done = critic("joint", rules=True).backward(node, operands, "9", heard, ["a"], llm)
            asyncio.run(done)
        assert len(llm.requests) == 1 + calls


def test_so_is_one_where_code_makes_the_answer_of_what_a_member_wrote() -> None:
    """Code, and a field, hand the feedback on as it is: nobody has given a rule yet."""
    code = ", forward: {_target_: builtins.str}}"
    more = f"  bare: {{predecessors: [desk]{code}\n  shown: {{predecessors: [bare]{code}\n"
    conf = yaml.safe_load(
        GRAPH.replace("output: desk", "output: shown").replace("output:", more + "output:")
    )
    desk = build_graph(expand_graph(conf), PROMPTS)
    passed = ForwardPass("one", VALUES | {"bare": "14", "shown": "14"}, {}, {})
    how = Differentiation(critic("joint", rules=True))
    for text, calls in (("CHANGE: it should have been 22.", 2), ("Heavy parcels cost 15.", 1)):
        llm = ScriptedLLM(says(text))
        names = desk.optimisable
        asyncio.run(backward_pass(desk, desk.initial(), passed, FEEDBACK, names, how, llm))
        assert len(llm.requests) == calls


@pytest.mark.parametrize(("method", "calls"), [("semantic", 2), ("paper", 1)])
def test_a_method_says_whether_rules_are_asked_for(method: str, calls: int) -> None:
    conf = validated(compose([f"method={method}"])).method
    how = build_method(conf, graph(), PROMPTS).differentiation
    assert how is not None
    assert isinstance(how.default, PromptBackward)
    llm = ScriptedLLM(says("CHANGE: it should have been 22."))
    differentiate(how.default, llm, VALUES)
    assert len(llm.requests) == calls
