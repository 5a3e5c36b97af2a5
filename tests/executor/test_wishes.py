"""Whether a gradient asks for a change: said by its form, from the critic's prompt to the blame."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from simulated import Simulated, Watch

from sgdflow.config.compose import compose
from sgdflow.config.paths import prompt_folders
from sgdflow.config.prepare import prepare
from sgdflow.descent import Descent
from sgdflow.executor.backward_functions import PassThrough
from sgdflow.executor.gradients import Gradient, wish
from sgdflow.executor.graph import Operands
from sgdflow.executor.places import View
from sgdflow.llm.scripted import ScriptedLLM
from sgdflow.prompting.templates import Prompts
from sgdflow.update import Select
from sgdflow.update.evidence import Item

PROMPTS = Prompts(prompt_folders(Path(__file__).parent))


@pytest.mark.parametrize(
    ("said", "asks"),
    [
        ("CHANGE: it should be 4.", True),
        ("KEEP: it is right.", False),
        ("KEEP", False),
        ("UNCLEAR: either of them may be wrong.", False),
        ("**Keep**: it is right.", False),
        ("unclear:\nboth were assumed", False),
        ("KEEP it as it is", False),
        # The form counts, and no phrase that stands in it.
        ("CHANGE: nothing should change in its tone; it cannot be told from it who asks.", True),
        ("KEEP: it should only be B if the question asked for B.", False),
        # A comment on what is good and what is not.
        ("Keep: the form.\nCHANGE: name the zone.", True),
        # Words of a sentence are no form.
        ("Keep the zone, and name the weight.", True),
        ("Changes nothing: name the weight.", True),
        ("Unclear instructions: say which zone.", True),
        ("CHANGE, KEEP or UNCLEAR: name the weight.", True),
        # The word stands at the beginning, whatever the lines of a text begin with.
        ("Count the zone first: it is off by two.\nKEEP the list of weights as it is.", True),
        ("The zone is wrong.\nKEEP: the weights.", True),
        ("KEEP: it is right, it says\nCHANGE OF ADDRESS.", False),
        # What a small model may write in its place.
        ("Nothing should change: it is right.", False),
        ("Undecided.", False),
        ("It should be 4.", True),
    ],
)
def test_whether_a_change_is_asked_for_is_a_part_of_the_form(said: str, asks: bool) -> None:
    assert Select().asks(said) == asks


def test_a_gradient_without_the_word_has_no_wish() -> None:
    assert wish("Nothing should change.") is None
    assert wish("KEEP: right.") == "keep"


@pytest.mark.parametrize(
    ("one", "other", "asks"),
    [
        ("KEEP: right.", "CHANGE: count the zone.", True),
        ("KEEP: right.", "KEEP: right.", False),
        ("KEEP: right.", "UNCLEAR: who knows.", False),
        ("KEEP: right.", "It should be 4.", True),
    ],
)
def test_code_hands_on_what_its_readers_ask_for(one: str, other: str, asks: bool) -> None:
    gradients = (Gradient("first", one), Gradient("second", other))
    work = (
        View("count", ("draft",), (), {}),
        Operands({"draft": "a b"}, {}),
        2,
        gradients,
        ["draft"],
    )
    computed = asyncio.run(PassThrough(PROMPTS).backward(*work, ScriptedLLM(lambda *_: "")))
    assert Select().asks(computed.value["draft"]) == asks


def test_what_code_was_given_asks_for_nothing() -> None:
    """Its lines are a user's data, however they begin."""
    work = (
        View("count", ("text",), (), {}),
        Operands({"text": "To do:\nKEEP the receipt."}, {}),
        2,
    )
    wrong = (Gradient("loss", "The output is wrong. Expected: 3"),)
    handed = PassThrough(PROMPTS).backward(*work, wrong, ["text"], ScriptedLLM(lambda *_: ""))
    assert Select().asks(asyncio.run(handed).value["text"])


def test_blame_counts_what_was_really_asked_for() -> None:
    def item(example: str, said: str) -> Item:
        return Item(example, "node", {}, "", (Gradient("next", said),))

    said = (
        "CHANGE: nothing should change but the sum.",
        "KEEP: it should be 4 here.",
        "UNCLEAR: ?",
    )
    evidence = {"node.instruction": tuple(item(f"{i}", one) for i, one in enumerate(said))}
    assert Select().blame(evidence, {}) == {"node.instruction": 1}


@pytest.mark.parametrize("method", ["semantic", "textgrad", "no_neighbors"])
@pytest.mark.parametrize(
    "problem",
    [
        ("graph=desk", "task=tariff"),
        ("graph=chain", "task=tickets"),
        ("graph=clerks", "task=forms"),
    ],
)
def test_simulated_critics_answer_in_the_form_that_they_are_asked_for(
    problem: tuple[str, str], method: str
) -> None:
    """No phrase is needed to tell what they ask for."""
    given = [*problem, f"method={method}", "method.stop.steps=1", "tracking=none", "seed=0"]
    ready, watch = prepare(compose(given), PROMPTS, {}), Watch()
    asyncio.run(Descent(ready.problem, ready.method, Simulated(), watch).run(ready.start))
    (step,) = watch.steps
    said = [
        str(one.value)
        for learned in step.tried.learned
        if learned.backward is not None
        for arrived in learned.backward.gradients.values()
        for one in arrived
        if one.source != "loss"
    ]
    assert said
    assert all(wish(one) for one in said)


@pytest.mark.parametrize("idle", [False, True])
def test_a_declared_method_calls_no_critic_that_nobody_asks_unless_it_is_idle(idle: bool) -> None:
    given = ["graph=chain", "task=tickets", "method=semantic", "tracking=none", "seed=0"]
    given += ["method.stop.steps=1", f"method.idle={str(idle).lower()}"]
    ready, watch = prepare(compose(given), PROMPTS, {}), Watch()
    asyncio.run(Descent(ready.problem, ready.method, Simulated(), watch).run(ready.start))
    nodes, asked, silent = ready.problem.graph.nodes, list[int](), list[int]()
    for learned in watch.steps[0].tried.learned:
        passed = learned.backward
        assert passed is not None
        for name, arrived in passed.gradients.items():
            if any(before in nodes for before in nodes[name].predecessors):
                wishes = {wish(str(one.value)) for one in arrived if one.source != "loss"}
                heard = any(one.source == "loss" for one in arrived)
                quiet = not heard and "change" not in wishes
                (silent if quiet else asked).append(len(passed.calls.get(name, ())))
    assert silent
    assert set(asked) == {1}
    assert set(silent) == {int(idle)}
