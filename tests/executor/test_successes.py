"""Right work beside a failure: which pieces a critic is shown, and what it makes of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from conftest import Start

from sgdflow.config.paths import prompt_folders
from sgdflow.errors import CallFailed
from sgdflow.executor.backward import Differentiation, backward_pass
from sgdflow.executor.backward_functions import PromptBackward
from sgdflow.executor.branches import SKIPPED
from sgdflow.executor.forward import ForwardPass, PromptForward
from sgdflow.executor.graph import Graph, Node, Parameter
from sgdflow.executor.successes import Right
from sgdflow.llm import Message
from sgdflow.llm.scripted import Said, ScriptedLLM
from sgdflow.prompting.ask import Ask
from sgdflow.prompting.replies import ReplyFormat
from sgdflow.prompting.templates import Prompts

PROMPTS = Prompts(prompt_folders(Path(__file__).parent))
FORWARD = PromptForward(Ask(PROMPTS, "forward/node.jinja", "forward", ReplyFormat("text")))
NAMES = ("weight", "zone")


def asking(prompt: str, *, edge: bool = False, neighbors: bool = True) -> PromptBackward:
    ask = Ask(PROMPTS, f"backward/{prompt}.jinja", "backward", ReplyFormat("tagged", "gradient"))
    return PromptBackward(ask, per_edge=edge, neighbors=neighbors)


def desk(count: int = 2) -> Graph:
    names = NAMES[:count]
    nodes = {
        name: Node(name, ("order",), {"instruction": f"{name}.instruction"}, FORWARD)
        for name in names
    }
    nodes["desk"] = Node("desk", names, {"instruction": "desk.instruction"}, FORWARD)
    parameters = {f"{name}.instruction": Parameter(f"{name}.instruction", "Do.") for name in nodes}
    return Graph("desk", ("order",), parameters, nodes, "desk")


def passed(example: str, weight: str, zone: str, total: str, **more: str) -> ForwardPass:
    values = {"order": "an order", "weight": weight, "zone": zone, "desk": total, **more}
    return ForwardPass(example, values, {}, {})


FAILED = passed("failed", "medium: 10 (assumed)", "east: 10 (assumed)", "20")
HEAVY = passed("heavy", "heavy: 33", "none: 0", "33")
MEDIUM = passed("medium", "medium: 10 (assumed)", "none: 0", "10")
MEDIUM_TOO = passed("medium too", "medium: 10 (assumed)", "none: 0", "10")
NORTH = passed("north", "none: 0", "north: 21 (assumed)", "21")


def test_those_come_first_that_share_the_rarest_words_not_shown_yet() -> None:
    """By hand: of FAILED's words `10` and `medium` are in two passes, `assumed` of the zone in one.

    So the medium ones are worth 1/2 three times, and once one is taken its twin is worth nothing;
    NORTH has the zone's `assumed` alone. HEAVY shares no word with its place.
    """
    node = desk().nodes["desk"]
    right = [HEAVY, MEDIUM, MEDIUM_TOO, NORTH]

    def shown(count: int) -> list[str]:
        return [str(one.output) for one in Right(right, count).like(node, FAILED)]

    assert shown(1) == ["10"]
    assert shown(2) == shown(4) == ["10", "21"]
    assert Right([HEAVY], 2).like(node, FAILED) == ()
    assert Right([FAILED], 2).like(node, FAILED) == (), "its own work is no other example"
    skipped = ForwardPass("skipped", {**MEDIUM.values, "zone": SKIPPED}, {}, {})
    failed = ForwardPass("lost", {k: v for k, v in MEDIUM.values.items() if k != "zone"}, {}, {})
    assert Right([skipped, failed], 2).like(node, FAILED) == ()


def critic(role: str, node: str, messages: Sequence[Message]) -> str:
    return "".join(f'<gradient name="{name}">CHANGE: x</gradient>' for name in NAMES)


def prompts_of(graph: Graph, how: PromptBackward, *right: ForwardPass) -> Mapping[str, str]:
    llm = ScriptedLLM(critic)
    texts = {name: parameter.initial for name, parameter in graph.parameters.items()}
    shown = Differentiation(how, successes=2)
    coming = backward_pass(
        graph, texts, FAILED, "wrong", list(texts), shown, llm, Right(right, 2) if right else None
    )
    asyncio.run(coming)
    return {request.node: request.messages[-1].content for request in llm.requests}


def test_a_critic_sees_right_work_and_no_neighbor_that_is_hidden() -> None:
    heading = "# Where the answer was right"
    (joint,) = prompts_of(desk(), asking("joint"), MEDIUM).values()
    before, _, after = joint.partition(heading)
    assert ("medium: 10" in before, "none: 0" in before, "none: 0" in after) == (True, False, True)
    # Equal values are said once.
    assert ("medium: 10" in after, "What is not shown there is as above." in after) == (False, True)
    (without,) = prompts_of(desk(), asking("joint")).values()
    assert heading not in without

    llm = ScriptedLLM(lambda role, node, messages: "<gradient>CHANGE: x</gradient>")
    graph = desk()
    texts = {name: parameter.initial for name, parameter in graph.parameters.items()}
    how = Differentiation(asking("edge", edge=True, neighbors=False), successes=2)
    right = Right([MEDIUM], 2)
    asyncio.run(backward_pass(graph, texts, FAILED, "wrong", list(texts), how, llm, right))
    of_zone = next(r.messages[-1].content for r in llm.requests if "author of zone" in str(r))
    assert [one in of_zone for one in (heading, "none: 0", "medium")] == [True, True, False]


def test_right_work_stays_short_however_long_its_values_are() -> None:
    long = {name: "word " * 2000 for name in NAMES}
    much = passed("much", long["weight"], f"east {long['zone']}", "1")
    (plain,) = prompts_of(desk(), asking("joint")).values()
    (told,) = prompts_of(desk(), asking("joint"), much).values()
    assert "word word" in told
    assert len(told) < len(plain) + 2500


def test_right_work_is_what_a_prompt_that_does_not_fit_does_without_first() -> None:
    """One predecessor cannot be halved: its gradient would be lost for what is shown beside."""
    graph = desk(1)
    texts = {name: parameter.initial for name, parameter in graph.parameters.items()}
    how, right = Differentiation(asking("joint"), successes=2), Right([MEDIUM], 2)
    lengths: list[int] = []

    def small(role: str, node: str, messages: Sequence[Message]) -> Said:
        lengths.append(len(messages[-1].content))
        if "the answer was right" in messages[-1].content:
            return CallFailed("the prompt does not fit", "context_window")
        return '<gradient name="weight">CHANGE: x</gradient>'

    llm = ScriptedLLM(small)
    found = asyncio.run(backward_pass(graph, texts, FAILED, "wrong", list(texts), how, llm, right))
    assert not found.failures
    assert [one.value for one in found.gradients["weight"]] == ["CHANGE: x"]
    assert len(lengths) == 2
    assert lengths[0] > lengths[1]


ORDERS = [
    {"order": f"Price this order. Weight: {weight}. Zone: {zone}.", "total": total}
    for weight, zone, total in (
        ("medium", "none", 10),
        ("none", "north", 21),
        ("medium", "east", 22),
        ("medium", "north", 31),
    )
]
"""Medium costs what a desk assumes, and so its price is never missed alone."""


@pytest.mark.parametrize(("count", "learned"), [(0, False), (2, True)])
def test_a_right_total_tells_which_of_two_assumed_prices_is_wrong(
    count: int, learned: bool, at: Start, tmp_path: Path
) -> None:
    """10 + 10 is wrong where 22 is right: the critic cannot tell why, unless it sees 10 + 0."""
    data = tmp_path / "orders.jsonl"
    data.write_text("".join(f"{json.dumps(one)}\n" for one in ORDERS), encoding="utf-8")
    other = tmp_path / "other.jsonl"
    other.write_text(json.dumps({"order": "Weight: none. Zone: east.", "total": 12}) + "\n")
    words = ["optimize", "graph=desk", "task=table", f"task.path={{train: {data}, test: {other}}}"]
    words += ["task.inputs=[order]", "task.target=total"]
    words += ["task.splits={train: 4, validation: 0, test: 1}"]
    words += ["graph.parts=2", "graph.family=sum", "llm=simulated", "tracking=none"]
    words += ["method.stop.steps=3", f"method.backward.successes={count}", "hydra.run.dir=run"]
    code, _, said = at(tmp_path, *words)
    assert code == 0, said
    texts = (tmp_path / "run" / "parameters.yaml").read_text(encoding="utf-8")
    assert ("east costs 12" in texts) is learned
