"""No prompt but those of the graph's own nodes grows with fan-in, fan-out, nodes or examples."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from sgdflow.config.compose import compose
from sgdflow.config.methods import build_method
from sgdflow.config.paths import prompt_folders
from sgdflow.config.prepare import Prepared, prepare
from sgdflow.data import Example
from sgdflow.descent.drafting import Drafting
from sgdflow.descent.method import Method
from sgdflow.executor.backward import BackwardPass, backward_pass
from sgdflow.executor.backward_functions import PassThrough
from sgdflow.executor.evaluation import Evaluator
from sgdflow.executor.forward import ForwardPass, PromptForward
from sgdflow.executor.functions import Function
from sgdflow.executor.gradients import Gradient
from sgdflow.executor.graph import Graph, Node, Operands, Parameter
from sgdflow.executor.intervention import Verification
from sgdflow.executor.outcomes import Evaluation, Outcome
from sgdflow.executor.scores import Score
from sgdflow.llm import Message, Usage
from sgdflow.llm.scripted import ScriptedLLM
from sgdflow.plan.estimate import backward_calls
from sgdflow.probe.units import Unit
from sgdflow.probe.wordings import written
from sgdflow.prompting.ask import Ask, Call
from sgdflow.prompting.replies import ReplyFormat
from sgdflow.prompting.templates import Prompts
from sgdflow.update import Proposal, Select, gather_evidence
from sgdflow.update.choice import Choice
from sgdflow.update.decision import Decision
from sgdflow.update.evidence import Item, Learned
from sgdflow.update.rule import Past, Situation, Went

PROMPTS = Prompts(prompt_folders(Path(__file__).parent))
FORWARD = PromptForward(Ask(PROMPTS, "forward/node.jinja", "forward", ReplyFormat("text")))


def team(members: int, *, shared: bool) -> Graph:
    """Return a source that many use, and one who is given what all of them make of it."""
    names = [f"member_{i:04}" for i in range(members)]
    nodes = {
        "source": Node("source", ("question",), {"text": "source.text"}, FORWARD),
        **{
            n: Node(n, ("source",), {"text": "all.text" if shared else f"{n}.text"}, FORWARD)
            for n in names
        },
        "join": Node("join", ("question", *names), {"text": "join.text"}, FORWARD),
        "end": Node("end", ("join",), {"text": "end.text"}, FORWARD),
    }
    told = dict.fromkeys(full for node in nodes.values() for full in node.parameters.values())
    parameters = {name: Parameter(name, "Work on it.") for name in told}
    return Graph("team", ("question",), parameters, nodes, "end")


def answer(role: str, node: str, messages: Sequence[Message]) -> str:
    prompt = "".join(message.content for message in messages)
    if names := dict.fromkeys(re.findall(r'<gradient name="(\w+)">', prompt)):
        return "".join(f'<gradient name="{n}">CHANGE: {n} lacks a rule</gradient>' for n in names)
    tag = (re.findall(r"between <([\w-]+)>", prompt)[-1:] or re.findall(r"<(\w+)>", prompt))[0]
    said = {"causes": "rule: it lacks one", "improved": "Work on it with care."}
    return f"<{tag}>{said.get(tag, 'CHANGE: a rule is lacking')}</{tag}>"


@cache
def declared(*words: str) -> Prepared:
    raw = compose(["tracking=none", "experiments=quickstart", *words])
    return prepare(raw, PROMPTS, {})


def prompts(graph: Graph, examples: int, *words: str) -> Mapping[tuple[str, ...], int]:
    """Return the length of the longest prompt of each kind that one step of a method sends."""
    found, llm = declared(*words), ScriptedLLM(answer)
    method = build_method(found.config.method, graph, PROMPTS)
    problem = replace(found.problem, graph=graph, optimised=tuple(graph.parameters))
    asyncio.run(step(graph, method, examples, Drafting(problem, method, llm)))
    longest: dict[tuple[str, ...], int] = {}
    for one in llm.requests:
        said = [
            re.sub(r"\d+ (more|queries|readers|successors)", "N", m.content) for m in one.messages
        ]
        kind = (one.role, re.sub(r"\d+", "", one.node), said[0][:60])
        longest[kind] = max(longest.get(kind, 0), sum(map(len, said)))
    return longest


async def step(graph: Graph, method: Method, examples: int, drafting: Drafting) -> None:
    values = {name: f"{name} said so" for name in graph.nodes}
    reply = Call("join", "forward", (), "join said so", Usage())
    passes = [  # of what is alike one would be shown
        ForwardPass(
            f"e{i}",
            {"question": f"Q{i:04}", **{name: f"{said} {i:04}" for name, said in values.items()}},
            {"join": (reply,)},
            {},
        )
        for i in range(examples)
    ]
    parameters, names = graph.initial(), tuple(graph.parameters)
    backward: dict[str, BackwardPass] | None = None
    if (how := method.differentiation) is not None:
        backward = {
            one.example: await backward_pass(
                graph, parameters, one, "Wrong.", names, how, drafting.llm
            )
            for one in passes
        }
        assert not any(one.failures for one in backward.values())
    learned = tuple(
        Learned(one, 0.0, "Wrong.", (backward or {}).get(one.example)) for one in passes
    )
    evidence = gather_evidence(graph, passes, backward, names)
    assert set(evidence) == set(names)
    changes = {name: f"{text} Once." for name, text in parameters.items()}
    past = Past(
        1,
        {name: "Work." for name in names},
        evidence,
        Proposal(changes),
        Decision(False, "worse"),
        went=(Went(passes[0], better=False),),
    )
    other = Past(1, past.parameters, {}, Proposal({"end.text": "End."}), Decision(False, "worse"))
    known = Evaluation({one.example: Outcome(one, 0.0, None) for one in passes})

    async def evaluate(_: object) -> Evaluation:
        return known

    situation = Situation(
        graph, parameters, evidence, 1, names, learned, (past, other), evaluate, standing=known
    )
    await drafting.drafts(situation)


METHODS = (
    (),
    ("method.update.momentum=2", "method.update.critique={prompt: optimizer/critique.jinja}"),
    ("method.update.critique={prompt: optimizer/causes.jinja, causes: 3}",),
    ("method.words=short", "method.aggregation.examples=tree"),
    ("method=no_neighbors",),
    ("method=no_gradient",),
    ("method=textgrad",),
    ("method=copro",),
)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("words", METHODS, ids=" ".join)
def test_no_prompt_grows_with_the_width_of_the_graph(
    words: tuple[str, ...], *, shared: bool
) -> None:
    # Multiples of 32, of which backward calls make equal groups.
    small, wide, wider = (prompts(team(n, shared=shared), 1, *words) for n in (10, 96, 320))
    assert small.keys() <= wide.keys() == wider.keys()
    assert {key: size - wide[key] for key, size in wider.items() if size > wide[key] + 20} == {}


@pytest.mark.parametrize(
    ("words", "more"),
    [((), 144), (("method=no_gradient",), 1000), (("method=optoprime",), 1000)],
)
def test_no_prompt_grows_with_the_examples(words: tuple[str, ...], more: int) -> None:
    """Numbers of which groups of eight can be made."""
    graph = team(2, shared=False)
    few, many = (prompts(graph, examples, *words) for examples in (72, more))
    assert few.keys() == many.keys()
    assert {key: size - few[key] for key, size in many.items() if size > few[key] + 20} == {}


def test_of_few_examples_all_are_shown() -> None:
    graph = team(2, shared=False)
    sizes = [max(prompts(graph, n, "method=no_gradient").values()) for n in (8, 16, 64, 65)]
    assert sizes[0] < sizes[1] < sizes[2]
    assert sizes[3] < sizes[2]


def test_no_choice_of_demonstrations_grows_with_the_failures() -> None:
    ask = Ask(PROMPTS, "optimizer/demonstrations.jinja", "optimizer", ReplyFormat("tagged", "n"))
    graph = team(2, shared=False)
    shots = replace(graph.parameters["end.text"], initial="[]", demonstrations=1)
    graph = replace(graph, parameters={**graph.parameters, "end.text": shots})
    right = {
        f"r{i}": Outcome(ForwardPass(f"r{i}", {"join": f"J{i}", "end": "E"}, {}, {}), 1.0, None)
        for i in range(3)
    }
    sizes = {}
    for failures in (10, 100, 1000):
        llm = ScriptedLLM(lambda *_: "<n>1</n>")
        items = [Item(f"{i:04}", "end", {"join": "J"}, "E", ()) for i in range(failures)]
        evidence, standing = {"end.text": tuple(items)}, Evaluation(right)
        situation = Situation(graph, graph.initial(), evidence, standing=standing)
        asyncio.run(Choice(ask, 3).choose(situation, ["end.text"], llm))
        (request,) = llm.requests
        sizes[failures] = len(request.messages[-1].content)
        left = f"It fails {failures - 64} more times."
        assert (left in request.messages[-1].content) == (failures > 64)
    assert sizes[10] < sizes[100]
    assert abs(sizes[1000] - sizes[100]) < 3


@pytest.mark.parametrize("name", ["join.text", "all.text"])
def test_no_probe_grows_with_the_width_of_the_graph(name: str) -> None:
    """One who is given what many wrote, and many who are told the same."""
    sizes = {}
    for members in (10, 100, 1000):
        graph, ready = team(members, shared=True), declared()
        problem = replace(ready.problem, graph=graph)
        llm = ScriptedLLM(lambda role, node, messages: "<wording>Another way.</wording>")
        wide = replace(ready, problem=problem, start=graph.initial())
        asyncio.run(written(wide, PROMPTS, [Unit("any", (name,))], llm))
        sizes[members] = max(len(one.messages[-1].content) for one in llm.requests)
    assert sizes[10] < sizes[100]
    assert abs(sizes[1000] - sizes[100]) < 3


def test_the_calls_of_a_wide_graph_are_foretold() -> None:
    """Forty use the source and feed the join: more than one prompt shows."""
    graph, llm = team(40, shared=True), ScriptedLLM(answer)
    found = declared()
    method = build_method(found.config.method, graph, PROMPTS)
    how, names = method.differentiation, tuple(graph.parameters)
    assert how is not None
    values = {"question": "Q", **dict.fromkeys(graph.nodes, "said so")}
    passed = ForwardPass("e", values, {}, {})
    work = backward_pass(graph, graph.initial(), passed, "Wrong.", names, how, llm)
    asyncio.run(work)
    assert len(llm.requests) == backward_calls(graph, names, method)
    # By hand: of the end, twice of the join, of each member, and six groups and one summary.
    assert len(llm.requests) == 1 + 2 + 40 + 6 + 1


def test_no_trial_grows_with_what_a_value_was_made_of_or_with_its_critics() -> None:
    ask = Ask(PROMPTS, "backward/value.jinja", "backward", ReplyFormat("tagged", "value"))
    sizes = {}
    for members in (10, 100, 1000):
        graph, llm = team(members, shared=True), ScriptedLLM(lambda *_: "<value>V</value>")
        values = {"question": "Q", **dict.fromkeys(graph.nodes, "said so")}
        outcome = Outcome(ForwardPass("e", values, {}, {}), 0.0, None)
        critics = tuple(Gradient(f"critic_{i:04}", "CHANGE: it") for i in range(members))
        backward = BackwardPass("e", {"join": critics}, {}, {}, {})
        evaluate = Evaluator(graph, Score(Function(lambda output, target: 0.0, "never")), llm)
        work = Verification(ask).verify(
            graph,
            graph.initial(),
            Example("e", {"question": "Q"}, "T"),
            outcome,
            backward,
            Select().asks,
            evaluate,
            llm,
        )
        (found,) = asyncio.run(work)
        assert found.value == "V"
        sizes[members] = len(llm.requests[0].messages[-1].content)
    assert sizes[10] < sizes[100]
    assert abs(sizes[1000] - sizes[100]) < 5


def test_no_gradient_that_code_hands_on_grows_with_what_it_was_given() -> None:
    sizes = {}
    for members in (10, 100, 1000):
        graph = team(members, shared=True)
        given = dict.fromkeys(graph.nodes["join"].predecessors, "said so")
        critics = tuple(Gradient(f"critic_{i:04}", "KEEP: it") for i in range(members))
        view, operands = graph.view("join", graph.initial()), Operands(given, {})
        work = PassThrough(PROMPTS).backward(
            view, operands, "V", critics, ["member_0000"], ScriptedLLM({})
        )
        sizes[members] = len(asyncio.run(work).value["member_0000"])
    assert sizes[10] < sizes[100]
    assert abs(sizes[1000] - sizes[100]) < 5
