"""Numbers among the parameters: written by the update rule, within bounds, and used as numbers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import yaml

from sgdflow.config.build import build_graph, expand_graph
from sgdflow.config.compose import compose
from sgdflow.config.paths import prompt_folders
from sgdflow.config.prepare import prepare, read_parameters
from sgdflow.errors import ConfigError
from sgdflow.executor.forward import forward_pass
from sgdflow.executor.graph import Graph
from sgdflow.executor.numbers import Numbers, plain
from sgdflow.llm import Message
from sgdflow.llm.models import ModelSpec
from sgdflow.llm.scripted import Said, ScriptedLLM
from sgdflow.plan.estimate import step_estimate
from sgdflow.prompting.templates import Prompts
from sgdflow.records import RunFolder
from sgdflow.runs.run import optimise
from sgdflow.simulation.numbering import another
from sgdflow.tracking import NullTracker
from sgdflow.update.constraints import told

PROMPTS = Prompts(prompt_folders(Path("nowhere")))
COUNT, SENTENCES = "passages.count", "answer.sentences"


def tuned() -> Graph:
    return build_graph(expand_graph(compose(["graph=tuned"])["graph"]), PROMPTS)


@pytest.mark.parametrize(
    ("numbers", "words", "others"),
    [
        (Numbers(1, 6, 1), "a whole number from 1 to 6", ["0", "7", "2.5"]),
        (Numbers(0, 1, 0.1), "a number from 0 to 1, in steps of 0.1", ["0.55", "1.1"]),
        (Numbers(0.5, 2), "a number from 0.5 to 2", ["0.4", "2.1"]),
        (Numbers(listed=(1, 2, 5)), "one of 1, 2, 5", ["3", "0.5"]),
        (Numbers(0, 0.001, 0.00001), "a number from 0 to 0.001, in steps of 0.00001", ["0.1"]),
    ],
)
def test_numbers_are_those_that_are_declared(
    numbers: Numbers, words: str, others: Sequence[str]
) -> None:
    assert str(numbers) == words
    step = Fraction(str(numbers.step or 0.25))
    low, high = Fraction(str(numbers.low)), Fraction(str(numbers.high))
    within = [low + n * step for n in range(1000) if low + n * step <= high]
    for number in [Fraction(one) for one in numbers.listed] or within:
        text = plain(float(number))
        assert numbers.read(f" {text}\n") == pytest.approx(float(number))
    for text in others:
        with pytest.raises(ValueError, match=f"^it is not {words}$"):
            numbers.read(text)
    for text in ("", "about 3", "3 or 4", "nan", "inf", "1e0", "three", "٣"):
        with pytest.raises(ValueError, match=r"^it is no number; write a"):
            Numbers(1, 6, 1).read(text)
    with pytest.raises(ValueError, match=r"^the number is written 3$"):
        Numbers(1, 6, 1).read("3.0")


def test_the_simulated_writer_goes_through_all_of_them() -> None:
    for numbers in (Numbers(1, 4, 1), Numbers(0, 1, 0.25), Numbers(listed=(1, 2, 5))):
        said = f"- It is {numbers}: write the number and nothing else."
        found = ["1"]
        while (one := another(found[-1], said)) not in found:
            assert one is not None
            numbers.read(one)
            found.append(one)
        assert len(found) == (5 if numbers.step == 0.25 else len(numbers.listed) or 4)
    assert another("1", "Write an instruction.") is None


def team(role: str, node: str, messages: Sequence[Message]) -> Said:
    """An answer that is right with three passages and in five sentences; critics who say so."""
    asked = messages[-1].content if role != "optimizer" else messages[1].content
    if node == "query":
        return "<output>parcel price weight letter</output>"
    if role == "forward":
        found = json.loads(asked.split('<variable name="passages">\n')[1].split("\n</var")[0])
        enough = len(found) >= 3 and "<sentences>\n5\n</sentences>" in asked
        return f"<output>{'yes' if enough else 'no'}</output>"
    if role == "backward":
        return '<gradient name="passages">More of them.</gradient>'
    told = messages[-1].content
    if node == COUNT:
        text = "3" if "it is not a whole" in told else "9" if "it is no number" in told else "many"
    elif node == SENTENCES:
        text = "5" if "it is not one of 1, 2, 5" in told else "3"
    else:
        text = asked.split("<parameter")[1].split(">")[1].split("<")[0]
    return f"<improved>{text}</improved>"


def test_a_run_writes_numbers_and_nodes_use_them(tmp_path: Path) -> None:
    words = ["graph=tuned", "task=table", f"task.path={tmp_path}/t.csv", "tracking=none"]
    words += ["task.inputs=[question]", "task.target=a", "task.score=text", "method.stop.steps=1"]
    words += ["task.splits={train: 8, validation: 0, test: null}"]
    rows = "".join(f"How much is parcel {n}?,yes\n" for n in range(12))
    (tmp_path / "t.csv").write_text(f"question,a\n{rows}")
    config = compose(words)
    ready = prepare(config, PROMPTS, {})
    assert {COUNT, SENTENCES} <= {*ready.problem.optimised}
    llm, folder = ScriptedLLM(team), RunFolder(tmp_path / "run")
    result = asyncio.run(optimise(ready, config, llm, NullTracker(), folder))
    assert result["accepted"] == 1
    learned = yaml.safe_load((tmp_path / "run/parameters.yaml").read_text())
    assert (learned[COUNT], learned[SENTENCES]) == ("3", "5")
    # Gradients reached both: what the successor asked for, and what the loss says.
    asked = {
        name: [one.messages for one in llm.requests if one.node == name and one.role == "optimizer"]
        for name in (COUNT, SENTENCES)
    }
    assert "More of them." in asked[COUNT][0][1].content
    assert "More of them." not in asked[SENTENCES][0][1].content
    assert "The expected answer is: yes" in asked[SENTENCES][0][1].content
    # The writer was told the bounds, and each time why a reply was none.
    texts = [messages[-1].content for messages in asked[COUNT]]
    assert "- It is a whole number from 1 to 6: write the number and nothing else." in texts[0]
    assert "it is no number; write a whole number from 1 to 6 and nothing else" in texts[1]
    assert "it is not a whole number from 1 to 6" in texts[2]


def test_a_function_and_a_template_are_given_the_number(tmp_path: Path) -> None:
    def half(question: str, share: float) -> str:
        assert isinstance(share, float)
        return question[: int(len(question) * share)]

    (tmp_path / "p").mkdir()
    (tmp_path / "p/n.jinja").write_text(
        "{% if loud > 2 %}LOUD{% endif %} {{ part }} {{ loud + 1 }}"
    )
    share = {"value": 0.5, "min": 0, "max": 1, "step": 0.1}
    nodes = {
        "part": {
            "predecessors": ["question"],
            "parameters": {"share": share},
            "forward": {"_target_": half},
        },
        "end": {
            "predecessors": ["part"],
            "parameters": {"loud": {"shared": "loud"}},
            "forward": {"prompt": "n.jinja", "reply": {"format": "text"}},
        },
    }
    conf = {"name": "g", "inputs": ["question"], "nodes": nodes, "output": "end"}
    conf["parameters"] = {"loud": {"value": 3, "choices": [1, 3]}}
    graph = build_graph(expand_graph(conf), Prompts((tmp_path / "p", *PROMPTS.folders)))
    assert graph.initial() == {"loud": "3", "part.share": "0.5"}
    llm = ScriptedLLM(lambda role, node, messages: messages[-1].content)
    run = forward_pass(graph, graph.initial(), "one", {"question": "abcdefgh"}, llm)
    assert asyncio.run(run).values["end"].split() == ["LOUD", "abcd", "4"]


def test_passages_are_as_many_as_the_parameter_says_and_a_plan_counts_the_most() -> None:
    graph = tuned()
    llm = ScriptedLLM(team)
    for number in ("1", "3"):
        given = {**graph.initial(), COUNT: number}
        run = forward_pass(graph, given, "one", {"question": "What does a parcel cost?"}, llm)
        assert len(asyncio.run(run).values["passages"]) == int(number)
    assert len(json.loads(graph.nodes["passages"].forward.largest)) == 6
    # Both are written by a call each, like texts.
    raw = dict(compose(["task=tariff", "graph=tariff"]))
    raw["graph"] = {**compose(["graph=tuned"])["graph"], "inputs": ["order"]}
    raw = json.loads(json.dumps(raw).replace('"question"', '"order"'))
    ready = prepare(raw, PROMPTS, None)
    assert step_estimate(ready.problem, ready.method).optimizer == 4


def test_a_node_is_asked_at_its_own_temperature(tmp_path: Path) -> None:
    """Also where a reply is asked for again; it is no part of the prompt, and of the request."""
    warm = {"value": 0.7, "min": 0, "max": 1, "step": 0.1}
    node = {"predecessors": ["question"], "parameters": {"i": "Do it.", "temperature": warm}}
    text = {**node, "parameters": {"temperature": "Say how warm it is."}}
    nodes = {"warm": node, "text": {**text, "predecessors": ["warm"]}}
    conf = {"name": "g", "inputs": ["question"], "nodes": nodes, "output": "text"}
    graph = build_graph(expand_graph(conf), PROMPTS)
    spec = ModelSpec("openai/m", parameters={"temperature": 0})
    asked: list[tuple[str, Mapping[str, Any], bool]] = []

    def model(role: str, node: str, messages: Sequence[Message]) -> Said:
        prompt = messages[1].content
        assert ("Say how warm" in prompt, "0.7" in prompt) == (node == "text", False)
        asked.append((node, spec.sent(messages), spec.repeats(messages)))
        return "" if len(asked) == 1 else "<output>yes</output>"

    run = forward_pass(graph, graph.initial(), "one", {"question": "?"}, ScriptedLLM(model))
    assert asyncio.run(run).values["text"] == "yes"
    warmly, coldly = {"temperature": 0.7}, {"temperature": 0}
    assert asked == [
        ("warm", warmly, False),
        ("warm", warmly, False),
        ("text", coldly, True),
    ]


def graph_of(parameter: Any, **forward: Any) -> Mapping[str, Any]:
    node = {"predecessors": ["question"], "parameters": {"count": parameter}, **forward}
    return {"name": "g", "inputs": ["question"], "nodes": {"n": node}, "output": "n"}


WHERE = "graph.nodes.n.parameters.count"
SEARCH = {"forward": {"retrieve": "sgdflow/parcels.md"}}
WHOLE = (
    f"{WHERE}: how many passages are found is a whole number from 1 on: "
    "count: {value: 3, min: 1, max: 10, step: 1}."
)
MISTAKES: dict[str, tuple[Any, Mapping[str, Any], str]] = {
    "outside of its bounds": (
        {"value": 9, "min": 1, "max": 6, "step": 1},
        {},
        f"{WHERE}: its own number breaks what is declared of it: "
        "it is not a whole number from 1 to 6.",
    ),
    "between its steps": (
        {"value": 0.55, "min": 0, "max": 1, "step": 0.1},
        {},
        f"{WHERE}: its own number breaks what is declared of it: "
        "it is not a number from 0 to 1, in steps of 0.1.",
    ),
    "one bound": (
        {"value": 3, "min": 1},
        {},
        f"{WHERE}: is a number: declare min and max, the smaller one first, or choices "
        "(got {'value': 3, 'min': 1}).",
    ),
    "bounds the wrong way round": (
        {"value": 3, "min": 5, "max": 1},
        {},
        f"{WHERE}: is a number: declare min and max, the smaller one first, or choices "
        "(got {'value': 3, 'min': 5, 'max': 1}).",
    ),
    "no step": (
        {"value": 3, "min": 1, "max": 5, "step": 0},
        {},
        f"{WHERE}.step: input should be greater than 0 (got 0).",
    ),
    "bounds of a text": (
        {"value": "3", "min": 1, "max": 5},
        {},
        f"{WHERE}: is a text, of which max means nothing; write its value as a number "
        "(got {'value': '3', 'min': 1, 'max': 5}).",
    ),
    "bounds and choices": (
        {"value": 3, "choices": [3, 4], "max": 5},
        {},
        f"{WHERE}: has choices; leave min, max and step out "
        "(got {'value': 3, 'choices': [3, 4], 'max': 5}).",
    ),
    "a text among the numbers": (
        {"value": 3, "choices": [3, "four"]},
        {},
        f"{WHERE}: is a number, and 'four' among its choices is none "
        "(got {'value': 3, 'choices': [3, 'four']}).",
    ),
    "a number among the texts": (
        {"value": "a", "choices": ["a", 3]},
        {},
        f"{WHERE}: is a text, and 3 among its choices is a number; write it in quotes "
        "(got {'value': 'a', 'choices': ['a', 3]}).",
    ),
    "half a passage": ({"value": 1.5, "min": 1, "max": 3, "step": 0.5}, SEARCH, WHOLE),
    "no passage": ({"value": 1, "min": 0, "max": 3, "step": 1}, SEARCH, WHOLE),
    "a text for passages": ("three", SEARCH, WHOLE),
    "passages said twice": (
        {"value": 1, "min": 1, "max": 3, "step": 1},
        {"forward": {"retrieve": "sgdflow/parcels.md", "count": 3}},
        "graph.nodes.n.forward.count: the parameter 'count' says it already. Leave one of them "
        "out.",
    ),
}


def test_a_temperature_below_zero_is_told() -> None:
    cold = {"value": 0, "min": -1, "max": 1, "step": 0.5}
    node = {"predecessors": ["question"], "parameters": {"temperature": cold}}
    conf = {"name": "g", "inputs": ["question"], "nodes": {"n": node}, "output": "n"}
    with pytest.raises(ConfigError) as refused:
        build_graph(expand_graph(conf), PROMPTS)
    assert str(refused.value) == (
        "graph.nodes.n.parameters.temperature: a temperature is a number from 0 on: "
        "temperature: {value: 0.2, min: 0, max: 1, step: 0.1}."
    )


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_told(name: str) -> None:
    parameter, more, said = MISTAKES[name]
    with pytest.raises(ConfigError) as refused:
        build_graph(expand_graph(graph_of(parameter, **more)), PROMPTS)
    assert str(refused.value) == said


def test_a_number_without_bounds_cannot_be_written() -> None:
    raw = dict(compose(["task=tariff", "graph=tariff"]))
    raw["graph"] = {**graph_of(3), "inputs": ["order"]}
    raw["graph"]["nodes"]["n"]["predecessors"] = ["order"]
    with pytest.raises(ConfigError) as refused:
        prepare(raw, PROMPTS, None)
    assert "Declare min and max or choices, so that a model can write it" in str(refused.value)


def test_a_file_of_parameters_holds_numbers_within_the_bounds() -> None:
    graph = tuned()
    given: dict[str, Any] = {**graph.initial(), COUNT: 3, SENTENCES: "5"}
    assert read_parameters(given, graph, "p.yaml") == {**given, COUNT: "3"}
    with pytest.raises(ConfigError) as refused:
        read_parameters({**given, COUNT: 7}, graph, "p.yaml")
    assert str(refused.value) == (
        f"parameters: p.yaml: '{COUNT}' is 7: it is not a whole number from 1 to 6."
    )
    assert told(graph.parameters[SENTENCES].constraints) == [
        "It is one of 1, 2, 5: write the number and nothing else."
    ]
