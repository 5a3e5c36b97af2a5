"""Methods: what each declared switch sends, learns and decides; all run on the tariff desk."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Literal

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sgdflow.config.build import build_graph, build_method, expand_graph
from sgdflow.config.compose import compose
from sgdflow.config.paths import prompt_folders
from sgdflow.config.prepare import Prepared, prepare, validated
from sgdflow.config.schema import MethodConf
from sgdflow.data import Example, Splits
from sgdflow.descent import Descent, Result, Scores, Step
from sgdflow.descent.method import Problem
from sgdflow.descent.trial import Trial
from sgdflow.errors import BudgetSpent, ConfigError, LLMError, NotStored, ProviderRefused
from sgdflow.executor.forward import ForwardPass
from sgdflow.executor.functions import Function
from sgdflow.executor.gradients import Gradient
from sgdflow.executor.graph import Operands
from sgdflow.executor.intervention import Intervention
from sgdflow.executor.outcomes import Evaluation, Outcome
from sgdflow.executor.scores import Score
from sgdflow.library.gradients import handed_on
from sgdflow.llm import LLM, Message, Reply, Spent, Usage
from sgdflow.llm.scripted import Request, ScriptedLLM
from sgdflow.plan.totals import make_plan
from sgdflow.prompting.ask import Call
from sgdflow.prompting.templates import Prompts
from sgdflow.simulation.worlds import reply
from sgdflow.update import Decision, Evidence, Item, Past, Proposal, Select, Situation, shuffled
from sgdflow.update.evidence import dealt_across_nodes, weighed
from sgdflow.update.prompt_views import stands, tries
from sgdflow.update.rule import Went

PROMPTS = Prompts(prompt_folders(Path(__file__).parent))
METHODS = sorted(
    path.stem for path in (Path(__file__).parents[2] / "conf" / "method").glob("*.yaml")
)


class Simulated:
    """The simulated models without a client; the same request is answered once."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self._known: dict[tuple[tuple[Message, ...], int], str] = {}
        self._spent: dict[str, Spent] = {}

    async def complete(
        self, role: str, messages: Sequence[Message], *, node: str, sample: int = 0
    ) -> Reply:
        key = (tuple(messages), sample)
        if key not in self._known:
            self._known[key] = reply(messages, sample)
            self.requests.append(Request(role, node, tuple(messages)))
            self._spent[role] = self._spent.get(role, Spent()) + Spent(calls=1)
        return Reply(self._known[key])

    def spent(self) -> Mapping[str, Spent]:
        return dict(self._spent)


class Watch:
    """Collects what a descent tells."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def scored(self, initial: Scores) -> None:
        pass

    def stepped(self, step: Step) -> None:
        self.steps.append(step)


@dataclass(frozen=True)
class Run:
    result: Result
    steps: list[Step]
    llm: Simulated


def ready(*overrides: str) -> Prepared:
    raw = compose(["tracking=none", *overrides])
    return prepare(raw, PROMPTS, {})


def optimise(*overrides: str, models: type[Simulated] = Simulated) -> Run:
    small = ("task.splits.train=30", "task.splits.validation=20", "task.splits.test=60")
    prepared, llm, watch = ready(*small, *overrides), models(), Watch()
    descent = Descent(prepared.problem, prepared.method, llm, watch)
    return Run(asyncio.run(descent.run(prepared.start)), watch.steps, llm)


def mean_test_score(scores: Scores) -> float:
    assert scores.test is not None
    return scores.test.mean


@pytest.mark.parametrize("method", METHODS)
def test_every_method_runs_on_the_tariff_desk(method: str) -> None:
    run = optimise(f"method={method}", "method.stop.steps=2")
    steps, reason = (0, "patience: 0") if method == "frozen" else (2, "steps")
    assert run.result.steps == steps
    assert run.result.stop_reason.startswith(reason)


@pytest.mark.parametrize("method", ["semantic", "textgrad", "optoprime"])
def test_methods_that_see_feedback_learn(method: str) -> None:
    run = optimise(f"method={method}", "method.sample.count=8", "method.stop.steps=8")
    assert mean_test_score(run.result.final) > mean_test_score(run.result.initial) + 0.3


class Fencing(Simulated):
    """Writers that put each new text into a code fence."""

    async def complete(
        self, role: str, messages: Sequence[Message], *, node: str, sample: int = 0
    ) -> Reply:
        said = (await super().complete(role, messages, node=node, sample=sample)).text
        if role != "optimizer":
            return Reply(said)
        if said.startswith("{"):
            texts = {key: f"```\n{text}\n```" for key, text in json.loads(said).items()}
            return Reply(f"```JSON\n{json.dumps(texts)}\n```")
        tagged = re.compile(r"(<improved>)(.*)(</improved>)", re.DOTALL)
        return Reply(tagged.sub(r"```xml\n\1\n```text\n\2\n```\n\3\n```", said))


@pytest.mark.parametrize("method", ["semantic", "optoprime", "copro"])
def test_fence_around_a_rewrite_changes_nothing(method: str) -> None:
    words = (f"method={method}", "method.stop.steps=4")
    plain, fenced = optimise(*words), optimise(*words, models=Fencing)
    assert any(step.tried.proposal.changes for step in plain.steps)
    assert [step.tried.proposal.changes for step in fenced.steps] == [
        step.tried.proposal.changes for step in plain.steps
    ]


def test_without_gradients_nothing_is_learned() -> None:
    run = optimise("method=no_gradient", "method.sample.count=8", "method.stop.steps=4")
    assert run.result.accepted == 0
    assert "backward" not in run.llm.spent()


def test_search_goes_through_the_parameters_in_turn_and_remembers_scores() -> None:
    run = optimise("method=copro", "method.update.depth=2", "method.update.breadth=3")
    assert run.result.steps == 8  # 4 parameters, 2 rounds
    assert [r.node for r in run.llm.requests if r.role == "optimizer"][:4] == [
        *["weight.instruction"] * 3,
        "zone.instruction",
    ]
    tried = [len(step.tried.proposal.tried) for step in run.steps]
    assert tried[:3] == [3, 3, 3]
    later = [r for r in run.llm.requests if r.node == "weight.instruction"][3:]
    scores = [float(s) for s in re.findall(r'name="score ([\d.e-]+)"', text_of(later[0]))]
    assert len(scores) == 4  # what was tried, and what stood
    assert scores == sorted(scores)
    for step in run.steps:
        scored = [c.score for c in step.tried.proposal.tried if c.score is not None]
        candidate = step.tried.candidate
        if candidate is not None:
            assert candidate.summary().mean == max(scored)  # type: ignore[union-attr]


def text_of(request: Request) -> str:
    return "\n".join(message.content for message in request.messages)


# --- a small graph with scripted models -------------------------------------------------------

GRAPH = """
name: small
inputs: [question]
nodes:
  left: {predecessors: [question], parameters: {instruction: Left task.}}
  right: {predecessors: [question], parameters: {instruction: Right task.}}
  end: {predecessors: [question, left, right], parameters: {instruction: End task.}}
output: end
"""


def exactly(output: str, target: str) -> float:
    return float(output == target)


class Team:
    """Models of the small graph; `writes` gives the reply to each request of the optimizer."""

    def __init__(self, *writes: str, says: str = "{node}") -> None:
        self._writes = iter(writes)
        self._says = says

    def __call__(self, role: str, node: str, messages: Sequence[Message]) -> str:
        text = messages[-1].content
        if role == "forward":
            return f"<output>{self._says.format(node=node)}</output>"
        if role == "optimizer":
            return next(self._writes, "<improved>A new text.</improved>")
        asked = re.findall(r'<gradient name="(\w+)">\.\.\.</gradient>', text)
        return (
            "".join(f'<gradient name="{n}">Change {n} here.</gradient>' for n in asked)
            or "<feedback>Expected otherwise.</feedback>"
        )


def descend(script: Any, steps: int = 1, examples: int = 4, **method: Any) -> tuple[Any, ...]:
    graph = build_graph(expand_graph(yaml.safe_load(GRAPH)), PROMPTS)
    stop = {"stop": {"steps": steps}}
    conf = MethodConf.model_validate({"name": "any", **stop, **method})
    how = build_method(conf, graph, PROMPTS)
    train = tuple(Example(str(i), {"question": f"Q{i}?"}, "right") for i in range(examples))
    splits = Splits(train, (), ())
    problem = Problem(graph, Score(Function(exactly, "exactly")), splits, graph.optimisable, 0)
    llm, watch = ScriptedLLM(script), Watch()
    result = asyncio.run(Descent(problem, how, llm, watch).run(graph.initial()))
    return result, watch.steps, llm


def sent(llm: ScriptedLLM, role: str) -> list[Request]:
    return [request for request in llm.requests if request.role == role]


def test_one_joint_call_for_all_neighbors_or_one_for_each_edge() -> None:
    _, _, joint = descend(Team(), sample={"count": 1})
    edge = {"calls": "edge", "neighbors": False, "prompt": "backward/edge.jinja"}
    _, _, alone = descend(Team(), sample={"count": 1}, backward=edge)
    assert [r.node for r in sent(joint, "backward")] == ["end"]
    assert [r.node for r in sent(alone, "backward")] == ["end", "end"]
    for name, request in zip(("left", "right"), sent(alone, "backward"), strict=True):
        assert re.findall(r"^`(\w+)`: ", text_of(request), re.MULTILINE) == [name]


def test_gradients_of_parameters_are_their_evidence() -> None:
    of_parameters = {
        "calls": "edge",
        "of_parameters": True,
        "prompt": "backward/textgrad.jinja",
    }
    _, steps, llm = descend(Team(), sample={"count": 1}, backward=of_parameters)
    asked = [
        (r.node, re.findall(r"The variable is (\w+):", text_of(r))) for r in sent(llm, "backward")
    ]
    assert asked == [
        ("end", ["left"]),
        ("end", ["right"]),
        ("end", ["instruction"]),
        ("left", ["instruction"]),
        ("right", ["instruction"]),
    ]
    for name, items in steps[0].tried.evidence.items():
        node = name.split(".")[0]
        assert [g for item in items for g in item.gradients] == [
            Gradient(node, "Change instruction here.")
        ]


def test_a_textual_loss_is_asked_of_a_model() -> None:
    loss = {"prompt": "loss/textual.jinja", "role": "backward"}
    _, steps, llm = descend(Team(), sample={"count": 2}, loss=loss)
    assert [r.node for r in sent(llm, "backward")].count("loss") == 2
    assert {one.feedback for one in steps[0].tried.learned} == {"Expected otherwise."}


def test_two_stages_show_the_critique_to_the_rewrite() -> None:
    review, text = "<critique>Too short.</critique>", "<improved>Longer.</improved>"
    team = Team(*[review] * 3, *[text] * 3)
    _, steps, llm = descend(team, update={"critique": {}})
    first, second = sent(llm, "optimizer")[:3], sent(llm, "optimizer")[3:]
    assert len(second) == 3
    assert not any("Too short." in text_of(request) for request in first)
    assert all("Too short." in text_of(request) for request in second)
    assert all(len(calls) == 2 for calls in steps[0].tried.proposal.calls.values())


def test_a_rejected_proposal_is_shown_to_the_next_rewrite_only_if_declared() -> None:
    for memory in (0, 1):
        team = Team(*(f"<improved>Text {i}.</improved>" for i in range(9)))
        _, steps, llm = descend(team, steps=3, update={"memory": memory})
        assert [step.tried.decision.accepted for step in steps] == [False] * 3
        shown = [
            re.findall(
                r"<tried>\n(.*?)\n</tried>\n<verdict>\nTurned down, \w+: 0 -> ", text_of(request)
            )
            for request in sent(llm, "optimizer")
        ]
        assert shown[:3] == [[], [], []]
        latest = [[f"Text {i}."] for i in range(6)]
        assert shown[3:] == (latest if memory else [[]] * 6)


def test_momentum_shows_earlier_texts_with_their_gradients() -> None:
    update = {"prompt": "optimizer/textgrad.jinja", "momentum": 2}
    _, _, llm = descend(Team(), steps=2, update=update)
    first, second = text_of(sent(llm, "optimizer")[0]), text_of(sent(llm, "optimizer")[3])
    assert '<past name="step 1">' not in first
    told = '<feedback from="end">\nChange left here.\n</feedback>'
    assert f'<past name="step 1">\nLeft task.\n{told}' in second


def test_momentum_goes_over_texts_that_were_accepted_and_is_bounded() -> None:
    def past(step: int, text: str, gradients: int) -> Past:
        told = tuple(Gradient("end", f"{step} {'x' * 600}") for _ in range(gradients))
        items = (Item("1", "node", {}, "", told),)
        return Past(step, {"p": text}, {"p": items}, Proposal({"p": "Tried."}), Decision(False, ""))

    history = [past(1, "A", 2), past(2, "B", 40), past(3, "B", 40), past(4, "C", 1)]
    found = stands(history, "p", 2)
    assert [(one.text, one.step, len(one.gradients)) for one in found] == [("B", 3, 6), ("C", 4, 1)]
    assert all(len(str(g.value)) < 560 for one in found for g in one.gradients)
    assert [one.text for one in stands(history, "p", 9)] == ["A", "B", "C"]
    assert stands(history, "p", 0) == []


def test_constraints_and_the_limit_are_told_and_the_limit_is_kept() -> None:
    update = {"constraints": ["Be formal."], "max_characters": 12}
    team = Team(*["<improved>Much too long a text.</improved>"] * 9)
    _, steps, llm = descend(team, update=update)
    assert all("Be formal." in text_of(r) for r in sent(llm, "optimizer"))
    assert steps[0].tried.proposal.changes == {}
    assert set(steps[0].tried.proposal.skipped) == {
        "left.instruction",
        "right.instruction",
        "end.instruction",
    }


def test_malformed_proposals_are_no_try_of_the_gate_and_cost_no_patience() -> None:
    team = Team(*["nothing between tags"] * 99)
    result, steps, _ = descend(team, stop={"steps": 3, "patience": 1})
    assert result.steps == 3
    assert all(step.tried.candidate is None for step in steps)
    assert all(step.tried.decision.reason.startswith("no usable proposal") for step in steps)


@pytest.mark.parametrize(("rule", "count"), [("random", 1), ("blamed", 1)])
def test_a_step_updates_only_what_is_selected(rule: str, count: int) -> None:
    _, steps, _ = descend(
        Team(*(f"<improved>Text {i}.</improved>" for i in range(99))),
        steps=6,
        update={"select": {"rule": rule, "count": count}},
    )
    chosen = [tuple(step.tried.proposal.changes) for step in steps]
    assert {len(names) for names in chosen} == {count}
    assert len(set(chosen)) > 1


def test_a_random_choice_makes_no_backward_call_that_is_of_no_use() -> None:
    _, steps, _ = descend(Team(), steps=5, update={"select": {"rule": "random"}})
    only_end = [step for step in steps if set(step.tried.evidence) == {"end.instruction"}]
    made = [
        sum(len(calls) for one in step.tried.learned for calls in one.backward.calls.values())
        for step in only_end
    ]
    assert set(made) <= {0}


def test_blame_counts_the_gradients_that_ask_for_a_change() -> None:
    def item(*texts: str, node: str = "n", given: str = "question") -> Item:
        gradients = tuple(Gradient("s", text) for text in texts)
        return Item("1", node, {given: ""}, "", gradients)

    evidence = {
        "a": (item("Nothing should change: right."), item("NOTHING SHOULD CHANGE.")),
        "b": (item("It should be 4."), item("Nothing should change.")),
        "c": (item("It should be 4."), item("It should be 5.")),
    }
    chosen = [Select("blamed", count).after(evidence, Random(0), {}) for count in (1, 2, 3)]
    assert [list(one) for one in chosen] == [["c"], ["b", "c"], ["a", "b", "c"]]
    passed_on = {
        "end": (item("Wrong.", node="end", given="left"), item("Wrong.", node="end", given="left")),
        "left": (item("It should be 4.", node="left"),),
    }
    assert Select("blamed").blame(passed_on, {"end": ["left"]}) == {"end": 0, "left": 1}


def test_what_a_trial_refuted_is_no_blame_also_where_it_is_shown() -> None:
    """It stays with the end, which had passed it on to the one that is not at fault."""

    def said(*nodes: str) -> Evidence:
        gradients = (Gradient("s", "CHANGE: it."),)
        return {node: (Item("1", node, {}, "", gradients),) for node in nodes}

    evidence, before = said("end", "left", "right"), {"end": ["left", "right"]}
    verdicts: Sequence[tuple[float, Literal["otherwise"] | None, Mapping[str, int]]] = [
        (1.0, None, {"end": 0, "left": 1, "right": 1}),  # repaired
        (0.0, "otherwise", {"end": 0, "left": 1, "right": 1}),  # open
        (0.0, None, {"end": 0, "left": 0, "right": 1}),  # no effect
    ]
    for after, moved, blamed in verdicts:
        trial = Intervention("1", "left", 0.0, "x", after, moved=moved)
        assert Select("blamed").blame(weighed(evidence, [trial], "show"), before) == blamed
    trials = [Intervention("1", node, 0.5, "x", 0.0) for node in ("left", "right")]
    shown = weighed(evidence, trials, "show")
    assert Select("blamed").blame(shown, before) == {"end": 1, "left": 0, "right": 0}
    assert list(Select("blamed").after(shown, Random(0), before)) == ["end"]


def test_shuffled_gradients_go_to_other_examples_and_none_is_lost() -> None:
    items = tuple(Item(str(i), "n", {}, f"out {i}", (Gradient("s", str(i)),)) for i in range(7))
    for seed in range(20):
        dealt = shuffled({"p": items}, Random(seed))["p"]
        assert [one.example for one in dealt] == [one.example for one in items]
        assert all(new.gradients != old.gradients for new, old in zip(dealt, items, strict=True))
        assert sorted(one.gradients[0].value for one in dealt) == [str(i) for i in range(7)]
    assert shuffled({"p": items[:1]}, Random(0)) == {}


@given(st.lists(st.integers(0, 3), max_size=12), st.integers(0, 99))
def test_no_gradient_is_dealt_to_the_output_it_was_written_for(
    outputs: list[int], seed: int
) -> None:
    """One more of a kind than of all others together has nobody to exchange with."""
    items = tuple(
        Item(str(i), "n", {}, f"out {o}", (Gradient("s", f"{i} about {o}"),))
        for i, o in enumerate(outputs)
    )
    dealt = shuffled({"p": items}, Random(seed)).get("p", ())
    for item in dealt:
        assert item.gradients[0].value.split(" about ")[1] != item.output.removeprefix("out ")
    most = max(Counter(outputs).values(), default=0)
    assert len(dealt) == len(outputs) - max(0, 2 * most - len(outputs))
    assert len({item.gradients for item in dealt}) == len(dealt)


def test_a_whole_reply_may_change_some_parameters() -> None:
    update = {"rule": "whole", "prompt": "optimizer/optoprime.jinja", "memory": 2}
    team = Team(
        '{"reasoning": "Left is wrong.", "left.instruction": "New left."}',
        '{"left.instructoin": "x"}',
        '{"reasoning": "All is well."}',
    )
    _, steps, llm = descend(team, steps=2, backward=None, update=update)
    assert dict(steps[0].tried.proposal.changes) == {"left.instruction": "New left."}
    first, asked_again = sent(llm, "optimizer")[1], sent(llm, "optimizer")[2]
    assert "New left." in text_of(first)  # the memory of the rejected try
    assert "left.instructoin" in asked_again.messages[-1].content
    assert steps[1].tried.decision.reason == "the proposal changes nothing"
    shown = text_of(sent(llm, "optimizer")[0])
    for part in ("`end` = model(question, left, right; told end.instruction)", "Left task.", "Q"):
        assert part in shown


def test_a_writer_for_the_whole_graph_sees_how_each_node_came_to_its_output() -> None:
    def script(role: str, node: str, messages: Sequence[Message]) -> str:
        said = f"One of {node} and nothing else.\n<output>{node}</output>"
        return said if role == "forward" else '{"reasoning": "All is well."}'

    update = {"rule": "whole", "prompt": "optimizer/optoprime.jinja"}
    _, _, llm = descend(script, backward=None, update=update, sample={"count": 1})
    (request,) = sent(llm, "optimizer")
    runs = text_of(request).partition("# Runs, and the feedback on their output")[2]
    order = [
        *("`how left was found`: One of left and nothing else.", "`left`: left"),
        *("`how right was found`: One of right and nothing else.", "`right`: right"),
        *("One of end and nothing else.", "Output: end"),
    ]
    places = [runs.index(part) for part in order]
    assert places == sorted(places)
    assert all(runs.count(part) == 1 for part in order)


def test_the_gate_may_go_by_validation_examples() -> None:
    run = optimise("method=textgrad", "method.sample.count=4", "method.stop.steps=3")
    for step in run.steps:
        candidate = step.tried.candidate
        if candidate is not None:
            assert len(candidate.outcomes) == 20
        assert len(step.tried.current.outcomes) == 4


async def own_rule(situation: Situation, llm: LLM, text: str) -> Mapping[str, str]:
    assert situation.learned
    scored = await situation.evaluate(situation.parameters)
    return {"end.instruction": f"{text} {situation.step} {len(scored.outcomes)}"}


def test_a_users_own_rule() -> None:
    target = {"_target_": f"{__name__}.own_rule", "text": "Step"}
    _, steps, _ = descend(Team(), steps=2, update=target)
    assert [dict(step.tried.proposal.changes) for step in steps] == [
        {"end.instruction": "Step 1 4"},
        {"end.instruction": "Step 2 4"},
    ]


def test_what_a_users_rule_gets_wrong_is_a_reason_and_no_change() -> None:
    def rule(situation: Situation, llm: LLM) -> Any:
        return [Proposal({"frozen": "x"}), "text"][situation.step - 1]

    globals()["wrong_rule"] = rule
    _, steps, _ = descend(Team(), steps=2, update={"_target_": f"{__name__}.wrong_rule"})
    reasons = [step.tried.decision.reason for step in steps]
    assert "it is not to be changed" in reasons[0]
    assert "not a mapping of parameters" in reasons[1]


@pytest.mark.parametrize("error", [BudgetSpent, NotStored, ProviderRefused])
def test_what_ends_a_run_ends_it_also_in_a_users_rule(error: type[LLMError]) -> None:
    async def rule(situation: Situation, llm: LLM) -> Any:
        async with asyncio.TaskGroup() as group:
            group.create_task(stop())

    async def stop() -> None:
        raise error("no more calls")

    globals()["ending_rule"] = rule
    run = partial(descend, Team(), steps=2, update={"_target_": f"{__name__}.ending_rule"})
    if error is BudgetSpent:
        result, steps, _ = run()
        assert (result.stop_reason, steps) == ("no more calls", [])
    else:
        with pytest.raises(error, match="no more calls"):
            run()


# --- mistakes ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("method.update.parameters=[weigth.instruction]",), "Did you mean 'weight.instruction'?"),
        (("method.backward.reply.format=text",), "cannot carry one text for each of weight"),
        (("method=shuffled_gradient", "method.backward=null"), "no gradients to deal out"),
        (("method=shuffled_gradient", "method.sample.count=1"), "no other example to deal to"),
        (("method=no_gradient", "method.update.select.rule=blamed"), "to go by"),
        (("method.sample.count=0",), "leaves the rule rewrite nothing to go by"),
        (("method=textgrad", "task.splits.validation=0"), "there is no validation example"),
        (
            ("method.gate.rule=paired", "task.splits.train=5"),
            "method.gate.level: 0.05 can never be reached with 5 examples: the first of 120 tests "
            "has 0.0093 of it and needs 7 examples on which it is better by 1",
        ),
        (
            ("method.gate.rule=paired", "method.gate.examples=sampled", "method.sample.count=30"),
            "method.gate.examples: sampled, but the examples sampled are those that the current "
            "text gets wrong (method.sample.examples=failing). Any other text can only gain on "
            "them, so that method.gate.rule=paired would show nothing. Set "
            "method.gate.examples=batch; method.gate.first=sampled still asks them first.",
        ),
        (
            ("method.confirm.required=true", "task.splits.validation=4"),
            "method.confirm.level: 0.05 can never be reached with 4 validation examples; it takes "
            "5. Set task.splits.validation=5 or more",
        ),
        (
            ("method.confirm.required=true", "method.gate.examples=validation"),
            "method.confirm: the validation examples decide at the gate",
        ),
        (
            ("method.gate.guard=4",),
            "method.gate.guard: 4 examples would guard nothing. Set method.gate.first=sampled",
        ),
        (
            ("method.gate.guard=60", "method.gate.examples=sampled", "task.splits.train=40"),
            "method.gate.guard: 60 is not less than the 40 training examples",
        ),
        (
            ("method.gate.guard=6", "method.gate.first=sampled", "method.batch=6"),
            "method.gate.guard: 6 is not less than the 6 training examples of a step "
            "(method.batch). Set it lower, or method.batch higher.",
        ),
        (("method.gate.wave=0",), "method.gate.wave: input should be 'auto' (got 0)."),
        (
            ("method.proposals.parents=3",),
            "method.proposals.parents: 3 candidates cannot be started from where "
            "method.pool.keep=1. Set method.pool.keep=3 or more.",
        ),
        (("method.pool.merge=true",), "one candidate (method.pool.keep=1) has none to merge with"),
        (
            ("method.proposals.each=51", "method.stop.budget.calls=50"),
            "method.proposals: parents=1 with each=51 make 51 proposals a step, and "
            "method.stop.budget.calls allows 50 calls. Set fewer of them, or more calls.",
        ),
        (
            ("method.pool.keep=3", "method.lazy=true", "task.splits.validation=0"),
            "method.pool: it has no scores to choose by: with method.lazy=true",
        ),
        (("method=copro", "+method.pool.keep=2"), "the rule search chooses among texts itself"),
        (("method=optoprime", "method.update.reply.partial=false"), ""),
        (("method=optoprime", "method.update.reply.format=tagged"), "cannot carry"),
        (("method=textgrad", "method.loss.role=jury"), "method.loss.role: llm.models has no"),
        (("method=copro", "method.update.breadth=0"), "method.update.breadth"),
        (
            ("+method.update.critique.role=reader",),
            "method.update.critique.role: llm.models has no 'reader'",
        ),
    ],
)
def test_mistakes_are_told_before_anything_is_called(overrides: Sequence[str], words: str) -> None:
    if not words:
        ready(*overrides)
        return
    with pytest.raises(ConfigError, match=re.escape(words)):
        ready(*overrides)


@pytest.mark.parametrize(
    ("overrides", "why"),
    [
        (("task.splits.validation=0",), "there is no validation example, and it takes 5"),
        (("task.splits.validation=1",), "there is 1 validation example, and it takes 5"),
        (("task.splits.validation=4",), "there are 4 validation examples, and it takes 5"),
        (("method.confirm.level=0.5", "task.splits.validation=1"), ""),
        (("method.gate.examples=validation",), "the validation examples decide at the gate"),
        (("method.pool.keep=3",), "the validation examples choose in the pool"),
        (("task.splits.validation=5",), ""),
    ],
)
def test_a_run_that_can_confirm_nothing_says_so_and_goes_without(
    overrides: Sequence[str], why: str
) -> None:
    run = ready(*overrides)
    assert (run.method.confirm is None) == bool(why)
    assert run.method.unconfirmed.startswith(why)
    assert bool(run.method.unconfirmed) == bool(why)
    planned = make_plan(run, dict.fromkeys(run.calling.models, None))
    said = [note for note in planned.notes if note.startswith("No winner will be confirmed: ")]
    assert len(said) == bool(why)


def test_an_unknown_rule_is_told_with_those_there_are() -> None:
    raw = {**compose(["tracking=none"])}
    raw["method"] = {**raw["method"], "update": {"rule": "serach"}}
    with pytest.raises(ConfigError) as caught:
        validated(raw)
    assert str(caught.value) == (
        "method.update.rule: there is no 'serach'. Did you mean 'search'? "
        "There are: rewrite, whole, search."
    )


def test_gradients_need_something_to_optimise() -> None:
    frozen = [
        f"graph.nodes.{node}.parameters.instruction={{value: x, frozen: true}}"
        for node in ("weight", "zone", "service", "desk")
    ]
    with pytest.raises(ConfigError, match="has nothing to optimise"):
        ready(*frozen)


# --- controls mean what they say --------------------------------------------------------------


def test_no_neighbors_hides_values_and_instructions_of_neighbors() -> None:
    ready_run = ready("method=no_neighbors")
    graph, start = ready_run.problem.graph, dict(ready_run.start)
    start["zone.instruction"] = "NEIGHBOR TOLD"
    differentiation = ready_run.method.differentiation
    assert differentiation is not None
    asked: list[str] = []

    class Listening:
        async def complete(
            self, role: str, messages: Sequence[Message], *, node: str, sample: int = 0
        ) -> Reply:
            asked.append("\n".join(message.content for message in messages))
            return Reply('<gradient name="weight">It should be more.</gradient>')

        def spent(self) -> Mapping[str, Spent]:
            return {}

    values = {"weight": "WEIGHT VALUE", "zone": "ZONE VALUE", "service": "SERVICE VALUE"}
    operands = Operands(values, {"instruction": "Add up."})
    told = graph.view("desk", start)
    assert {*told.beside({"weight"}).told} == {"weight"}  # for templates of one's own
    asyncio.run(
        differentiation.default.backward(told, operands, "9", "wrong", ["weight"], Listening())
    )
    (text,) = asked
    assert "WEIGHT VALUE" in text
    for hidden in ("NEIGHBOR TOLD", "ZONE VALUE", "SERVICE VALUE", "`zone`"):
        assert hidden not in text


def test_gradients_dealt_across_nodes_come_from_another_parameter() -> None:
    evidence = {
        name: tuple(
            Item(f"{i}", name, {}, "same", (Gradient("loss", f"{name} {i}"),)) for i in range(3)
        )
        for name in ("a", "b")
    }
    dealt = dealt_across_nodes(evidence, Random(1))
    assert {name: len(found) for name, found in dealt.items()} == {"a": 3, "b": 3}
    for name, found in dealt.items():
        assert all(not str(item.gradients[0].value).startswith(name) for item in found)
    assert dealt_across_nodes({"a": evidence["a"]}, Random(1)) == {}


def test_what_cannot_be_told_is_no_blame() -> None:
    said = ["It should be 3.", "What is shown does not settle which one.", "It cannot be told."]
    evidence = {
        "a": tuple(Item(f"{i}", "a", {}, "x", (Gradient("loss", s),)) for i, s in enumerate(said))
    }
    assert Select("blamed").blame(evidence, {}) == {"a": 1}


def test_a_bound_is_shown_as_a_bound() -> None:
    past = Past(
        1,
        {"a": "old"},
        {},
        Proposal({"a": "new"}),
        Decision(False, "cannot pass: 0.5 -> at most 0.4, after 16 of 20 examples (2 up, 4 down)"),
        before=0.5,
        most=0.4,
    )
    (attempt,) = tries([past], "a", 3)
    assert (attempt.text, attempt.scored) == ("new", "at most 0.4")
    assert attempt.verdict == (
        "Turned down, cannot pass: 0.5 -> at most 0.4, after 16 of 20 examples (2 up, 4 down)."
    )


def test_the_latest_tries_are_shown_whatever_became_of_them() -> None:
    """Accepted ones, too; and those of which neither a score nor a bound is known."""

    def past(step: int, decision: Decision, after: float | None, **changes: str) -> Past:
        return Past(step, {}, {}, Proposal(changes), decision, 0.5, after)

    history = [
        past(1, Decision(False, "repairs none of the 2 sampled failures"), None, a="first"),
        past(2, Decision(True, "better"), 0.6, a="second", b="other"),
        past(3, Decision(False, "no usable proposal (a: too long)"), None),
        past(4, Decision(False, "worse"), 0.4, b="other still"),
        past(5, Decision(False, "equal"), 0.6, a="third"),
    ]
    shown = [(one.text, one.scored, one.verdict, one.beside) for one in tries(history, "a", 3)]
    assert shown == [
        (
            "first",
            "not scored to the end",
            "Turned down, repairs none of the 2 sampled failures.",
            (),
        ),
        ("second", "0.6", "Accepted, better.", ("b",)),
        ("third", "0.6", "Turned down, equal.", ()),
    ]
    assert [one.text for one in tries(history, "a", 2)] == ["second", "third"]
    assert tries(history, "a", 0) == []


def test_it_is_said_which_other_texts_have_changed_since_a_try() -> None:
    """A score beside another judge says less of a text; one changed together with it is named."""
    was = {"a": "first", "b": "old", "c": "kept", "d": "old"}
    changes = {"a": "tried", "d": "tried too"}
    past = Past(1, was, {}, Proposal(changes), Decision(False, "worse"), 0.5, 0.4)
    now = {**was, "b": "new", "d": "new"}
    (attempt,) = tries([past], "a", 3, now=now)
    assert attempt.since == ("b",)
    said = PROMPTS.text(
        "optimizer/tries.jinja", {"attempts": [attempt], "parameter": {"text": "first"}}
    )
    together = "It was scored together with new texts for d."
    assert f"Turned down, worse. {together} Since then b has another text.\n" in said
    (attempt,) = tries([past], "a", 3, now=was)
    assert attempt.since == ()


def test_a_text_turned_down_is_shown_with_a_reply_that_it_led_to() -> None:
    """With what was reasoned: it has to be seen whether a text was followed."""
    node = {"predecessors": ["question"], "parameters": {"instruction": "Count."}}
    conf = {"name": "one", "inputs": ["question"], "nodes": {"answer": node}, "output": "answer"}
    graph = build_graph(expand_graph(conf), PROMPTS)

    def shown(said: str) -> tuple[str, str]:
        call = Call("answer", "forward", (), said, Usage(0, 0))
        values = {"question": "How many?", "answer": "12"}
        lost = ForwardPass("e", values, {"answer": (call,)}, {})
        changes = {"answer.instruction": "List all."}
        past = Past(
            1,
            {},
            {},
            Proposal(changes),
            Decision(False, "worse"),
            0.5,
            0.4,
            went=(Went(lost, False),),
        )
        (attempt,) = tries([past], "answer.instruction", 3, graph)
        (made,) = attempt.replies
        assert made.given == {"question": "How many?"}
        return made.node, made.wrote

    assert shown("<output>12</output>") == ("answer", "12")
    listed = "a chair is 1, two lamps are 2, one stove is 1"
    assert shown(f"{listed}\n<output>12</output>") == ("answer", f"{listed}\n12")


def test_the_query_of_a_text_turned_down_may_not_be_copied_either() -> None:
    node = {"predecessors": ["question"], "parameters": {"instruction": "Count."}}
    conf = {"name": "one", "inputs": ["question"], "nodes": {"answer": node}, "output": "answer"}
    graph = build_graph(expand_graph(conf), PROMPTS)
    name, query = "answer.instruction", "I have a chair, two lamps and a stove. How many objects?"
    call = Call("answer", "forward", (), "<output>12</output>", Usage(0, 0))
    lost = ForwardPass("e", {"question": query, "answer": "12"}, {"answer": (call,)}, {})
    turned_down = Decision(False, "worse")
    past = Past(
        1, {}, {}, Proposal({name: "List."}), turned_down, 0.5, 0.4, went=(Went(lost, False),)
    )
    item = Item("1", "answer", {"question": "Another one?"}, "3", ())
    situation = Situation(
        graph, graph.initial(), {name: (item,)}, 2, optimised=[name], history=(past,)
    )
    written = [f"<improved>Count, as in: {query} 4.</improved>", "<improved>List them.</improved>"]
    llm = ScriptedLLM({"optimizer": written})
    rule = build_method(validated(compose([])).method, graph, PROMPTS).update
    found = asyncio.run(rule.propose(situation, llm))
    assert found.changes == {name: "List them."}
    asked, again = (request.messages for request in llm.requests)
    assert f'<given name="question">\n{query}\n</given>' in asked[-1].content
    assert "(8 words in a row are a copy)" in asked[-1].content
    assert "it copies" in again[-1].content


def test_the_examples_shown_are_those_that_a_rejected_text_moved_most() -> None:
    """The two that it made worst and the one that it made best; wrong ones, where none is worse."""

    def scored(**scores: float) -> Evaluation:
        passes = {i: ForwardPass(i, {}, {}, {}) for i in scores}
        return Evaluation({i: Outcome(passes[i], score, None) for i, score in scores.items()})

    def went(accepted: bool, before: Evaluation, after: Evaluation) -> list[tuple[str, bool]]:
        trial = Trial(Decision(accepted, "so"), before, after)
        return [(one.passed.example, one.better) for one in trial.went]

    before = scored(a=0.0, b=1.0, c=1.0, d=0.5, e=0.2, f=0.0)
    after = scored(a=0.0, b=0.5, c=1.0, d=0.4, e=0.9, f=1.0)
    assert went(False, before, after) == [("b", False), ("d", False), ("f", True)]
    assert went(False, scored(a=0.0), scored(a=0.0)) == [("a", False)]
    assert went(True, before, after) == []
    assert went(False, scored(a=1.0), scored(a=1.0)) == []


def test_only_the_last_text_turned_down_is_shown_with_several_replies() -> None:
    node = {"predecessors": ["question"], "parameters": {"instruction": "Count."}}
    conf = {"name": "one", "inputs": ["question"], "nodes": {"answer": node}, "output": "answer"}
    graph = build_graph(expand_graph(conf), PROMPTS)
    name = "answer.instruction"

    def past(step: int, taken: bool = False) -> Past:
        call = Call("answer", "forward", (), "<output>12</output>", Usage(0, 0))
        values = {"question": f"Q{step}", "answer": "12"}
        went = Went(ForwardPass("e", values, {"answer": (call,)}, {}), better=False)
        shown = () if taken else (went, replace(went, better=True))
        decision = Decision(taken, "so")
        return Past(step, {}, {}, Proposal({name: f"T{step}"}), decision, 0.5, 0.4, went=shown)

    made = tries([past(1), past(2), past(3, taken=True)], name, 3, graph)
    told = [[(one.given["question"], one.better) for one in attempt.replies] for attempt in made]
    assert told == [[("Q1", False)], [("Q2", False), ("Q2", True)], []]


def test_gepa_hands_the_feedback_to_every_node() -> None:
    said = (Gradient("loss", "Wrong: 18."), Gradient("desk", "Wrong: 18."))
    assert handed_on({"a": 1, "b": 2}, "9", said) == {"a": "Wrong: 18.", "b": "Wrong: 18."}


def test_gepa_keeps_several_candidates_and_merges_them_one_text_a_step() -> None:
    run = optimise("method=gepa", "method.stop.steps=30", "seed=2")
    assert max(len(step.pool) for step in run.steps) > 2
    assert any(step.tried.why == "merge" for step in run.steps)
    written = [step for step in run.steps if step.tried.why != "merge"]
    changed = [len(step.tried.proposal.changes) for step in written]
    assert set(changed) == {0, 1}
    before = zip(run.steps, run.steps[1:], strict=False)
    assert any(step.tried.parents[0] != max(last.pool) for last, step in before)
    for step in written:  # three examples that are all right ask for nothing
        right = all(one.score == 1 for one in step.tried.learned)
        assert bool(step.tried.proposal.calls) != right
    assert any(not step.tried.proposal.calls for step in written)
