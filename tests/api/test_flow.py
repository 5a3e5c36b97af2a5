"""A graph, examples and a score given in Python do what YAML and files do, and fail as they do."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import sgdflow
from sgdflow.data import draw
from sgdflow.errors import ConfigError
from sgdflow.simulation.tariff import desk, orders

GRAPH: Mapping[str, Any] = {
    "inputs": ["question"],
    "nodes": {
        "answer": {"predecessors": ["question"], "parameters": {"instruction": "Answer it."}}
    },
    "output": "answer",
}
ROWS = [{"question": f"What is {n} and {n}?", "target": str(2 * n)} for n in range(6)]
POOL = orders(family="sum", parts=2, count=40, seed=0)
ORDERS = [{**one.inputs, "target": one.target, "key": one.id} for one in POOL.shared]
WORDS = ("task.splits={train: 16, validation: 8, test: 16}", "method.stop.steps=3")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def tariff(*words: str, **more: Any) -> sgdflow.Flow:
    graph = desk(name="desk", family="sum", parts=2)
    return sgdflow.Flow(*WORDS, *words, graph=graph, examples=ORDERS, id="key", **more)


def test_python_and_yaml_come_to_the_same(here: Path) -> None:
    """The same graph, examples and words give the same texts and scores, whoever declares them."""
    words = ("graph=desk", "task=tariff", "task.data.parts=2", "task.data.count=40", *WORDS)
    yaml = sgdflow.load(*words).optimize(record=False, progress=False)
    python = tariff(score=lambda output, target: float(output.strip() == target)).optimize(
        record=False, progress=False
    )
    assert python.parameters == yaml.parameters != python.start
    assert python.final.test == yaml.final.test
    assert list(here.iterdir()) == []


def test_examples_are_split_as_they_are_given() -> None:
    flow = sgdflow.Flow(graph=GRAPH, examples={"train": ROWS[:4], "test": ROWS[4:]})
    splits = flow.prepared.problem.splits
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [4, 0, 2]
    assert {one.id for one in splits.test} == {"test/0", "test/1"}
    shared = sgdflow.Flow(graph=GRAPH, examples=ROWS).prepared.problem.splits
    sizes: Mapping[str, int | None] = {"train": 2, "validation": 1, "test": None}
    assert shared == draw(POOL_OF_ROWS, sizes, 0)


POOL_OF_ROWS = sgdflow.Flow(graph=GRAPH, examples=ROWS).config["task"]["data"]["_target_"]()


def test_nodes_are_functions_of_a_cell() -> None:
    """Forward functions, synchronous or not, with constants; a backward function; a field."""

    async def doubled(number: int, *, by: int, offset: float) -> float:
        return number * by + offset

    def gradient(operands: Mapping[str, Any], output: float, gradient: Any) -> Mapping[str, Any]:
        return {"offset": gradient}

    node = {
        "predecessors": ["number"],
        "parameters": {"offset": 0.5},
        "forward": {"_target_": doubled, "by": 3},
        "backward": gradient,
    }
    said = {"predecessors": ["sum"], "forward": str}
    graph = {"inputs": ["number"], "nodes": {"sum": node, "said": said}, "output": "said"}
    flow = sgdflow.Flow(graph=graph)
    assert flow.predict({"number": 4}) == "12.5"
    assert flow.with_parameters({"sum.offset": 2}).predict({"number": 1}) == "5"
    with pytest.raises(ConfigError, match=r"graph.nodes.sum.forward: .*doubled cannot be imported"):
        flow.export("there")
    with pytest.raises(ConfigError, match="or give examples"):
        flow.optimize()


def ignored(output: str) -> float:
    raise AssertionError("nothing is scored")


NODE = GRAPH["nodes"]["answer"]
BAD: list[tuple[Mapping[str, Any], str]] = [
    ({"graph": 3}, "graph: expected a dictionary or a name, found int."),
    ({"graph": "hint"}, "graph: there is no 'hint'. Did you mean 'hints'?"),
    (
        {"graph": {**GRAPH, "nodes": {"answer": {**NODE, "forwards": ignored}}}},
        "graph.nodes.answer.forwards: there is no such key. Did you mean 'forward'?",
    ),
    (
        {"graph": {**GRAPH, "nodes": {"answer": {**NODE, "forward": ignored}}}},
        "ignored(question, instruction=...): got an unexpected keyword argument 'instruction'.",
    ),
    (
        {"graph": {**GRAPH, "nodes": {"answer": {**NODE, "parameters": {"instruction": ignored}}}}},
        "graph.nodes.answer.parameters.instruction: should be a text or a number",
    ),
    ({"examples": "rows.csv"}, "examples: expected a list of dictionaries, found str."),
    ({"examples": [ROWS[0], "x"]}, "examples[1]: expected a dictionary, found str."),
    (
        {"examples": [*ROWS, {"qestion": "?", "target": "1"}]},
        "examples[6]: there is no 'question'. Did you mean 'qestion'? It has: qestion, target.",
    ),
    ({"examples": [*ROWS, {"question": None, "target": "1"}]}, "input 'question' is null."),
    ({"examples": [*ROWS, {"question": "?"}]}, "examples[6]: column 'target' is null."),
    ({"examples": [{"question": "?"}] * 6}, "task.target: no example has a target"),
    ({"examples": ROWS[:1]}, "task.splits.test is empty; a run needs at least one example."),
    (
        {"examples": {"trian": ROWS}},
        "examples: there is no split 'trian'. Did you mean 'train'?",
    ),
    ({"examples": ROWS, "score": "nmber"}, "task.score: there is no scorer 'nmber'."),
    (
        {"examples": ROWS, "score": lambda answer, more, third: 1.0},
        "(output, target): missing a required argument: 'third'.",
    ),
    ({"score": ignored}, "score: there are no examples to score"),
    (
        {"words": ["graph.output=x"], "examples": ROWS},
        "graph.output: the graph is given in Python; change it there.",
    ),
    (
        {"words": ["task=gsm8k"], "examples": ROWS},
        "task: examples=... of Flow takes its place. Take the word out.",
    ),
    (
        {"words": ["task.score=number"], "examples": ROWS, "score": ignored},
        "task.score: score=... is given in Python, too. Take one of them out.",
    ),
    ({"examples": []}, "examples: there are none; give some dictionaries."),
    (
        {"examples": ROWS, "target": "targt"},
        "target: no example has 'targt'. Did you mean 'target'? They have: question, target.",
    ),
    (
        {"examples": ROWS, "working": "/nowhere/at all"},
        "working: there is no folder /nowhere/at all.",
    ),
    (
        {"words": [GRAPH], "examples": ROWS},
        "words: expected texts such as 'llm=openai', found dict. All else is given by name:",
    ),
    ({"words": ["method.stop.stps=1"], "examples": ROWS}, "method.stop.stps"),
    ({"words": ["task.splits.train=99"], "examples": ROWS}, "task.splits.train asks for 99"),
]


@pytest.mark.parametrize(("given", "told"), BAD)
def test_bad_input_is_told_before_anything_is_done(
    given: Mapping[str, Any], told: str, here: Path
) -> None:
    arguments = {"graph": GRAPH, **{key: one for key, one in given.items() if key != "words"}}
    with pytest.raises(ConfigError) as caught:
        sgdflow.Flow(*given.get("words", ()), **arguments).optimize()
    assert told in str(caught.value)
    assert list(here.iterdir()) == []


def test_what_is_no_place_and_no_observer_is_told_before_anything_is_done(here: Path) -> None:
    (here / "file").write_text("")
    with pytest.raises(ConfigError, match=r"directory: .*file is a file; name a folder, or a new"):
        tariff().optimize(directory="file")
    observer: Any = print
    with pytest.raises(ConfigError, match=r"observer: \w+ has no scored, stepped. It takes an"):
        tariff().optimize(observer)
    with pytest.raises(ConfigError) as caught:
        tariff().with_parameters({"desk.instrution": "Add."})
    assert str(caught.value) == (
        "parameters: given: graph 'desk' has no parameter 'desk.instrution'. "
        "Did you mean 'desk.instruction'?"
    )
    assert [one.name for one in here.iterdir()] == ["file"]


@pytest.mark.usefixtures("unread")
def test_a_directory_holds_one_run_which_can_go_further(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = tariff("method.stop.steps=1", "tracking=none").optimize(directory="run")
    assert short.directory == here / "run"
    assert "step 1: accepted" in capsys.readouterr().out
    with pytest.raises(ConfigError, match=r"directory: .*run holds this run, finished\."):
        tariff("method.stop.steps=1", "tracking=none").optimize(directory="run")
    further = tariff("tracking=none").optimize(directory="run", progress=False)
    assert further.steps > 1
    assert (here / "run" / "result_1.json").is_file()
    assert capsys.readouterr().out == ""
    other = tariff("tracking=none").with_parameters({"desk.instruction": "Multiply them."})
    with pytest.raises(ConfigError, match=r"parameters: null there, .given in Python, sha256"):
        other.optimize(directory="run")
    with pytest.raises(ConfigError, match=r"task.data.sha256: .* there, .* here"):
        sgdflow.Flow(
            *WORDS,
            "tracking=none",
            graph=desk(name="desk", family="sum", parts=2),
            examples=ORDERS[::-1],
            id="key",
        ).optimize(directory="run")


def test_what_a_run_leaves_is_loaded_and_says_what_it_lacks(here: Path) -> None:
    result = tariff("tracking=none").optimize(directory="run", progress=False)
    loaded = sgdflow.load("run")
    assert loaded.parameters == result.parameters
    order = {"order": ORDERS[0]["order"]}
    assert loaded.predict(order) == tariff().with_parameters(result.parameters).predict(order)
    with pytest.raises(ConfigError, match=r"task.data: the 40 examples of this run were given"):
        loaded.evaluate()


def test_a_result_says_what_changed(here: Path) -> None:
    result = tariff("tracking=none").optimize(directory="run", progress=False)
    said = str(result).splitlines()
    assert said[0].startswith(f"{result.steps} steps, {result.accepted} accepted; 2 of 3 texts")
    assert any(line.startswith("  test ") for line in said)
    [line] = [line for line in said if "weight of the order." in line]
    before = line.split("{+")[0].strip()
    assert before == result.start["weight.instruction"]
    after = line.strip().replace("{+", "").replace("+}", "")
    assert after == result.parameters["weight.instruction"]
    assert "desk.instruction" not in said
    assert said[-1] == f"Records: {here / 'run'}"
    html = result._repr_html_()
    assert "<ins style=" in html
    assert "<script" not in html
