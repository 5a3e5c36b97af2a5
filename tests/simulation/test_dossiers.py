"""The world of dossiers: what hands overlook, critics confuse and writers take in, by counting."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from simulated import Simulated, Watch

from sgdflow.config.compose import compose
from sgdflow.config.paths import prompt_folders
from sgdflow.config.prepare import Prepared, prepare
from sgdflow.descent import Descent
from sgdflow.executor.graph import Graph
from sgdflow.llm import Message
from sgdflow.prompting.templates import Prompts
from sgdflow.simulation.worlds import reply

PROMPTS = Prompts(prompt_folders(Path(__file__).parent))
LOCAL = ("method.backward.local=true", "method.backward.prompt=backward/local.jinja")
RULE = re.compile(r"The (\w+) \w+ is [A-Z]\d\.")
FORM = "# How to reply\n\n"


def ready(*more: str) -> Prepared:
    given = ["graph=relay", "task=dossiers", "tracking=none", "seed=0", *more]
    return prepare(compose(given), PROMPTS, {})


def depth(graph: Graph, name: str) -> int:
    before = [one for one in graph.nodes[name].predecessors if one in graph.nodes]
    return 1 + max((depth(graph, one) for one in before), default=0)


def test_it_has_six_nodes_and_is_five_deep() -> None:
    graph = ready().problem.graph
    assert len(graph.nodes) == 6
    assert depth(graph, graph.output) == 5
    assert [len(node.predecessors) for node in graph.nodes.values()] == [1, 1, 2, 1, 1, 1]


def filled(rules: int, number: int) -> str:
    others = " ".join(
        f"The {field} is B{2 + i % 6}." for i, field in enumerate(OTHERS[: rules - 1])
    )
    told = f"Fill in the code of the age. The age new is C4. {others}"
    paper = f'<variable name="paper">\nDossier: age new. No. {number}.\n</variable>\n'
    return reply([Message("user", f"<instruction>\n{told}\n</instruction>\n{paper}{FORM}")], number)


OTHERS = [
    f"{field} {word}"
    for field, words in {
        "colour": "red green blue white",
        "size": "tiny small large huge",
        "shape": "round square flat long",
        "origin": "coast hills plain island",
        "material": "wood steel glass cloth",
    }.items()
    for word in words.split()
]


def test_a_hand_that_is_told_no_more_than_its_own_overlooks_nothing() -> None:
    assert {"age new=C4" in filled(4, number) for number in range(100)} == {True}


def test_a_hand_overlooks_more_the_more_it_is_told() -> None:
    """By hand: 20 rules of others and one of its own are 17 more than a field has."""
    overlooked = sum("age new=?" in filled(21, number) for number in range(1500))
    assert overlooked / 1500 == pytest.approx(0.17, abs=0.04)


def critique(names: Sequence[str], number: int) -> Mapping[str, str]:
    """Ask the one who joins what two hands should have said of a dossier of theirs."""
    wanted = f"Dossier: colour red=B4; size tiny=C{2 + number % 6}; shape round=D5."
    given = {"colour": "colour red=?; size tiny", "size": "colour red; size tiny=?"}
    text = "".join(
        f'<variable name="{name}">\nDossier: {given[name]}; shape round.\n</variable>\n'
        for name in names
    )
    text += "<instruction>\nFill in the code of the shape.\n</instruction>\n"
    text += (
        f"<output>\nDossier: colour red=?; size tiny=?; shape round=?; No. {number}\n</output>\n"
    )
    text += f"<feedback>\nThe expected answer is: {wanted}\n</feedback>\n{FORM}"
    text += "\n".join(f'<gradient name="{name}">...</gradient>' for name in names)
    said = reply([Message("user", text)], 0)
    return dict(re.findall(r'<gradient name="(\w+)">(.*?)</gradient>', said))


def test_a_critic_confuses_whom_it_asks_in_one_of_twenty_replies() -> None:
    found = [critique(("colour", "size"), number) for number in range(1200)]
    right = [{name: f" {name} " in text for name, text in one.items()} for one in found]
    wrong = [one for one in right if not all(one.values())]
    assert not any(any(one.values()) for one in wrong)  # each is told what is the other's
    assert 0.03 <= len(wrong) / len(found) <= 0.07


def test_a_critic_that_speaks_of_one_value_asks_for_a_wrong_code_as_often() -> None:
    said = [critique(("colour",), number)["colour"] for number in range(1200)]
    wrong = [text for text in said if "colour red=B4" not in text]
    assert {text for text in wrong} == {"It should say colour red=B5."}
    assert 0.03 <= len(wrong) / len(said) <= 0.07


@pytest.mark.parametrize(("more", "own_only"), [((), False), (LOCAL, True)])
def test_a_writer_takes_in_what_it_is_told_and_local_blame_tells_it_its_own(
    more: Sequence[str], own_only: bool
) -> None:
    """Where the critic confuses two, a rule of another field gets in with local blame, too."""
    prepared, watch = ready("method.stop.steps=3", *more), Watch()
    found = asyncio.run(
        Descent(prepared.problem, prepared.method, Simulated(), watch).run(prepared.start)
    )
    texts = {name.partition(".")[0]: str(text) for name, text in found.parameters.items()}
    rules = [(node, field) for node, text in texts.items() for field in RULE.findall(text)]
    others = sum(node != field for node, field in rules)
    assert len(rules) > 6
    assert others < len(rules) / 3 if own_only else others > len(rules) / 2
