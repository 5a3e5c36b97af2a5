"""What is shipped works as it stands: every file of conf/ and experiments/, and what they build."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from sgdflow.cli.describe import as_mermaid, as_text
from sgdflow.cli.main import USAGE
from sgdflow.config.build import build_graph, build_method, expand_graph
from sgdflow.config.compose import compose
from sgdflow.config.paths import conf_folder, prompt_folders
from sgdflow.config.prepare import Prepared, prepare, validated
from sgdflow.config.schema import Config
from sgdflow.executor.backward import backward_pass
from sgdflow.executor.backward_functions import PromptBackward
from sgdflow.executor.forward import forward_pass
from sgdflow.executor.graph import BackwardFunction, Graph
from sgdflow.library.tools import calculate
from sgdflow.llm.scripted import ScriptedLLM
from sgdflow.prompting.templates import Prompts

ROOT = conf_folder().parent
PROMPTS = Prompts(prompt_folders(Path(os.devnull)))


def options(group: str) -> list[str]:
    found = sorted(path.stem for path in (conf_folder() / group).glob("*.yaml"))
    assert found, f"conf/{group} is empty"
    return found


@cache
def composed(*overrides: str) -> Mapping[str, Any]:
    return compose(overrides)


def built(*overrides: str) -> Graph:
    config = validated(composed(*overrides))
    return build_graph(config.graph, PROMPTS)


# Data as the readers expect it, just enough of it.


def rows(path: Path, count: int, row: Callable[[int], str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{row(i)}\n" for i in range(count)), encoding="utf-8")


def gsm8k_data(folder: Path, count: int) -> list[str]:
    def row(i: int) -> str:
        return json.dumps({"question": f"{i} + 1?", "answer": f"It is {i + 1}.\n#### {i + 1}"})

    for part in ("train", "test"):
        rows(folder / f"{part}.jsonl", count, row)
    return [f"task.path={folder}"]


def bbh_data(folder: Path, count: int) -> list[str]:
    examples = [{"input": f"Sort: b{i} a{i}", "target": f"a{i} b{i}"} for i in range(count)]
    folder.mkdir()
    for name in ("word_sorting", "navigate"):
        (folder / f"{name}.json").write_text(json.dumps({"examples": examples}), encoding="utf-8")
    return [f"task.path={folder}"]


def liar_data(folder: Path, count: int) -> list[str]:
    def row(part: str, i: int) -> str:
        label = "true" if i % 2 else "false"
        fields = [f"{part}{i}.json", label, f"Claim {i}", "tax", "X", "Senator", "Ohio", "democrat"]
        return "\t".join([*fields, "0", "0", "0", "0", "0", "a speech"])

    for part in ("train", "valid", "test"):
        rows(folder / f"{part}.tsv", count, partial(row, part))
    return [f"task.path={folder}"]


def table_data(folder: Path, count: int) -> list[str]:
    rows(folder / "t.jsonl", count, lambda i: json.dumps({"question": f"{i}?", "answer": f"{i}"}))
    return [f"task.path={folder / 't.jsonl'}", "task.inputs=[question]", "task.target=answer"]


DATA = {
    "sgdflow.data.gsm8k": gsm8k_data,
    "sgdflow.data.bbh": bbh_data,
    "sgdflow.data.liar": liar_data,
    "sgdflow.data.table": table_data,
}
GRAPH_OF = {"tariff": "tariff", "liar": "liar"}


def prepared(overrides: Sequence[str], folder: Path, reader: str) -> Prepared:
    """Return what is ready to run, with made-up data and made-up keys."""
    data = DATA[reader](folder / "data", 400) if reader in DATA else []
    config = compose([*overrides, *data])
    llm = validated(config).llm
    wanted = [llm.api_key_env, *(getattr(m, "api_key_env", None) for m in llm.models.values())]
    return prepare(config, PROMPTS, {name: "made-up" for name in wanted if name})


@pytest.mark.parametrize("name", options("graph"))
def test_shipped_graph_builds_and_suits_every_method(name: str) -> None:
    graph = built(f"graph={name}")
    assert graph.name == name
    for method in options("method"):
        build_method(validated(composed(f"method={method}")).method, graph, PROMPTS)


@pytest.mark.parametrize(
    "choice", [f"{group}={n}" for group in ("method", "llm", "tracking") for n in options(group)]
)  # fmt: skip
def test_shipped_choice_is_ready_to_run_with_the_default_graph(choice: str, tmp_path: Path) -> None:
    group, name = choice.split("=")
    ready = prepared([choice], tmp_path, "")
    conf = getattr(ready.config, group)
    assert getattr(conf, "kind" if group == "tracking" else "name") == name
    assert set(ready.calling.models) >= {"forward", "backward", "optimizer"}


@pytest.mark.parametrize("name", options("task"))
def test_shipped_task_is_ready_to_run(name: str, tmp_path: Path) -> None:
    reader = yaml.safe_load((conf_folder() / f"task/{name}.yaml").read_text())["data"]["_target_"]
    overrides = [f"task={name}", f"graph={GRAPH_OF.get(name, 'hints')}"]
    ready = prepared(overrides, tmp_path, reader)
    splits, sizes = ready.problem.splits, ready.config.task.splits
    assert len(splits.train) == sizes.train
    assert len(splits.validation) == sizes.validation
    assert len(splits.test) > 0
    ids = [e.id for part in (splits.train, splits.validation, splits.test) for e in part]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("name", options("experiments"))
def test_shipped_experiment_is_ready_to_run(name: str, tmp_path: Path) -> None:
    text = (ROOT / "experiments" / f"{name}.yaml").read_text(encoding="utf-8")
    reader = compose([f"experiments={name}"])["task"]["data"]["_target_"]
    ready = prepared([f"experiments={name}"], tmp_path, reader)
    assert ready.problem.optimised
    # An experiment is an overlay: what it says is what is run.
    for key in ("graph", "method", "llm"):
        if said := re.search(rf"override /{key}: (\w+)", text):
            assert getattr(ready.config, key).name == said[1]


FILES = sorted({*conf_folder().rglob("*.yaml"), *(conf_folder() / "experiments").glob("*.yaml")})


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(conf_folder())))
def test_shipped_file_opens_with_a_command_and_is_short(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    opening = lines[1] if lines[0].startswith("# @package") else lines[0]
    assert re.match(r"# ([A-Z_]+=\S+ )?sgdflow ([a-z]+)", opening)
    assert len(lines) <= 55


# Generated graphs.


def shape(graph: Graph) -> Mapping[str, Sequence[str]]:
    return {name: node.predecessors for name, node in graph.nodes.items()}


def test_layered_of_depth_and_width_two_is_hints() -> None:
    hints, layered = built("graph=hints"), built("graph=layered")
    renamed = {"step_1_1": "hint_1", "step_1_2": "hint_2"}
    assert {
        renamed.get(name, name): tuple(renamed.get(p, p) for p in predecessors)
        for name, predecessors in shape(layered).items()
    } == shape(hints)
    assert list(layered.initial().values()) == list(hints.initial().values())
    assert (layered.inputs, layered.output) == (hints.inputs, hints.output)
    single = built("graph=layered", "graph.depth=1")
    assert shape(single) == shape(built("graph=single")) == {"answer": ("question",)}


@pytest.mark.parametrize(
    ("skip", "last"),
    [
        ("false", ("question", "step_2_1", "step_2_2")),
        ("true", ("question", "step_1_1", "step_1_2", "step_2_1", "step_2_2")),
    ],
)
def test_layered_gives_a_node_the_layer_before_it_or_all_of_them(
    skip: str, last: tuple[str, ...]
) -> None:
    graph = built("graph=layered", "graph.depth=3", "graph.width=2", f"graph.skip={skip}")
    first, second = ("question",), ("question", "step_1_1", "step_1_2")
    assert shape(graph) == {
        "step_1_1": first,
        "step_1_2": first,
        "step_2_1": second,
        "step_2_2": second,
        "answer": last,
    }
    many = built("graph=layered", "graph.depth=3", "graph.width=4", f"graph.skip={skip}")
    assert len(many.nodes["answer"].predecessors) == (9 if skip == "true" else 5)


# A graph in words.

TARIFF = """\
graph tariff: order -> desk

weight <- order
  forward   prompts/forward/node.jinja, model forward, reply tagged
  backward  (no call: nothing before it is optimised)
  instruction:
    Price the weight of the order.

zone <- order
  forward   prompts/forward/node.jinja, model forward, reply tagged
  backward  (no call: nothing before it is optimised)
  instruction:
    Price the zone of the order.

service <- order
  forward   prompts/forward/node.jinja, model forward, reply tagged
  backward  (no call: nothing before it is optimised)
  instruction:
    Price the service of the order.

desk <- weight, zone, service
  forward   prompts/forward/node.jinja, model forward, reply tagged
  backward  prompts/backward/joint.jinja, model backward, one call to weight, zone, service
  instruction:
    Add up the prices of the parts.

flowchart LR
  order([order])
  weight[weight]
  zone[zone]
  service[service]
  desk[desk]
  order --> weight
  order --> zone
  order --> service
  weight --> desk
  zone --> desk
  service --> desk
  classDef optimised stroke-width:3px
  class weight,zone,service,desk optimised
"""
HEAVY = ("hydra", "omegaconf", "litellm", "mlflow", "pandas", "aiohttp")
IN_PROCESS = f"""
import sys
from sgdflow.cli.main import main
try:
    sys.exit(main())
finally:
    print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)
"""


def run(words: Sequence[str], folder: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a command; the last line of stderr tells which heavy packages it imported."""
    return subprocess.run(
        [sys.executable, "-c", IN_PROCESS, *words],
        cwd=folder,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_graph_command_prints_the_graph_and_imports_nothing_heavy(tmp_path: Path) -> None:
    ended = run(["graph"], tmp_path)
    assert ended.stdout == TARIFF
    assert ended.stderr == "['hydra', 'omegaconf']\n"
    assert ended.returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_validation_imports_nothing_heavy(tmp_path: Path) -> None:
    words = ["optimize", "llm=openai", "task.splits.train=999", "hydra.run.dir=run"]
    ended = run(words, tmp_path, OPENAI_API_KEY="made-up")
    told = "task.splits.train asks for 999 examples, but there are 240 (of 240 in all)."
    assert ended.stderr.splitlines() == [told, "['hydra', 'omegaconf']"]
    assert ended.returncode == 1


def test_help_is_quick_and_imports_nothing(tmp_path: Path) -> None:
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        ended = run(["--help"], tmp_path)
        seconds.append(time.perf_counter() - began)
        assert ended.stdout.startswith("sgdflow: semantic gradient descent")
        assert ended.stderr == "[]\n"
    assert min(seconds) < 0.3


def backward_of(config: Config, graph: Graph) -> BackwardFunction | None:
    how = build_method(config.method, graph, PROMPTS).differentiation
    return how.default if how else None


@pytest.mark.parametrize(
    ("words", "optimised", "told"),
    [
        (
            ("method=textgrad",),
            ["plan.instruction"],
            ["one call each to instruction", "one call each to plan"],
        ),
        # Its own text is fixed: nothing is said of it.
        (("method.backward.local=true",), ["plan.instruction"], ["one call to plan"]),
        (("method.backward.local=true",), [], ["one call to plan, itself"]),
        (("method=optoprime",), [], ["(no call: the method makes no backward pass)"] * 2),
    ],
)
def test_the_graph_is_told_with_the_calls_that_a_run_makes(
    words: Sequence[str], optimised: Sequence[str], told: Sequence[str]
) -> None:
    config = validated(composed("graph=voted", *words))
    graph = build_graph(config.graph, PROMPTS)
    names = optimised or graph.optimisable
    lines = as_text(graph, graph.initial(), names, backward_of(config, graph)).splitlines()
    calls = [line for line in lines if line.startswith("  backward") and "nothing" not in line]
    assert [line.endswith(end) for line, end in zip(calls, told, strict=True)] == [True] * len(told)
    [votes] = [line for line in lines if "most frequent" in line]
    assert votes.endswith("model forward, reply tagged, the most frequent of 5")


def test_code_nodes_shared_and_frozen_parameters_are_told_apart() -> None:
    conf = yaml.safe_load(
        """
        name: mixed
        inputs: [question]
        parameters: {tone: Be brief.}
        nodes:
          plan:
            predecessors: [question]
            parameters: {rule: {value: Plan., frozen: true}, tone: {shared: tone}}
          result: {predecessors: [plan], forward: {_target_: sgdflow.library.tools.calculate}}
          answer:
            predecessors: [question, plan, result]
            parameters: {instruction: Answer., tone: {shared: tone}}
            backward: {attempts: 1}
        output: answer
        """
    )
    config = validated({**composed(), "graph": conf})
    graph = build_graph(config.graph, PROMPTS)
    text = as_text(graph, graph.initial(), ["tone"], backward_of(config, graph))
    assert (
        text
        == """\
graph mixed: question -> answer

plan <- question
  forward   prompts/forward/node.jinja, model forward, reply tagged
  backward  (no call: nothing before it is optimised)
  rule (frozen):
    Plan.
  tone (shared: tone):
    Be brief.

result <- plan
  forward   python sgdflow.library.tools.calculate
  backward  passes its gradient through to plan

answer <- question, plan, result
  forward   prompts/forward/node.jinja, model forward, reply tagged
  backward  its own to plan, result
  instruction (fixed):
    Answer.
  tone (shared: tone):
    Be brief."""
    )
    mermaid = as_mermaid(graph, ["tone"])
    assert (
        mermaid
        == """\
flowchart LR
  question([question])
  plan[plan]
  result[[result]]
  answer[answer]
  question --> plan
  plan --> result
  question --> answer
  plan --> answer
  result --> answer
  classDef optimised stroke-width:3px
  class plan,answer optimised
"""
    )


def test_names_that_are_words_of_mermaid_are_no_ids_in_the_diagram() -> None:
    # What Mermaid 11.16's own parser takes for something else than the id of a node.
    words = ["_self", "call", "class", "click", "end", "flowchart", "graph", "href", "interpolate"]
    words += ["style", "subgraph"]
    nodes = {word: {"predecessors": ["End"], "parameters": {"a": "x"}} for word in words}
    last = {"predecessors": ["end_", *words], "parameters": {"a": "x"}}
    nodes |= {"end_": {"predecessors": ["End"], "parameters": {"a": "x"}}, "last": last}
    declared = {"name": "words", "inputs": ["End"], "nodes": nodes, "output": "last"}
    graph = build_graph(expand_graph(declared), PROMPTS)
    lines = as_mermaid(graph, ["end.a", "last.a"]).splitlines()
    assert {'  End_(["End"])', '  end__["end"]', "  end_[end_]"} <= {*lines}
    assert {"  End_ --> end__", "  end__ --> last", "  end_ --> last"} <= {*lines}
    assert lines[-1] == "  class end__,last optimised"
    ids = {re.split(r"[^\w]", line.strip())[0] for line in lines[1:-2]}
    assert not ids & {*words, "End"}
    assert len(ids) == len(words) + 3


# No gradient is asked for where nothing can be optimised.

LAYERED = ("graph=layered", "graph.depth=3", "graph.width=2")
PRUNED: Sequence[tuple[Sequence[str], Sequence[str], Mapping[str, Sequence[str]]]] = [
    (["graph=single"], ["answer.instruction"], {}),
    (["graph=tariff"], ["desk.instruction"], {}),
    (["graph=tariff"], ["zone.instruction"], {"desk": ["zone"]}),
    (["graph=tariff"], [], {"desk": ["weight", "zone", "service"]}),
    (["graph=hints"], ["hint_2.instruction", "answer.instruction"], {"answer": ["hint_2"]}),
    (
        LAYERED,
        ["step_1_2.instruction"],
        {
            "answer": ["step_2_1", "step_2_2"],
            "step_2_1": ["step_1_2"],
            "step_2_2": ["step_1_2"],
        },
    ),
    (LAYERED, ["step_2_1.instruction", "answer.instruction"], {"answer": ["step_2_1"]}),
    (["graph=calculator"], ["plan.instruction"], {"answer": ["plan", "result"]}),
    (["graph=calculator"], ["answer.instruction"], {}),
]


@pytest.mark.parametrize(("overrides", "optimised", "calls"), PRUNED)
def test_backward_calls_are_made_only_where_they_can_help(
    overrides: Sequence[str], optimised: Sequence[str], calls: Mapping[str, Sequence[str]]
) -> None:
    config = validated(composed(*overrides))
    graph = build_graph(config.graph, PROMPTS)
    names = tuple(optimised or graph.optimisable)
    how = build_method(config.method, graph, PROMPTS).differentiation
    assert how is not None
    asked: dict[str, list[str]] = {}

    def reply(role: str, node: str, messages: Sequence[Any]) -> str:
        if role == "forward":
            return "<output>1 + 1</output>"
        targets = re.findall(r'<gradient name="(\w+)">', messages[-1].content)
        asked[node] = targets
        return "".join(f'<gradient name="{t}">Change.</gradient>' for t in targets)

    async def descend() -> Mapping[str, Any]:
        llm, start = ScriptedLLM(reply), graph.initial()
        inputs = dict.fromkeys(graph.inputs, "?")
        passed = await forward_pass(graph, start, "1", inputs, llm)
        back = await backward_pass(graph, start, passed, "Wrong.", names, how, llm)
        assert not back.failures
        return back.gradients

    gradients = asyncio.run(descend())
    assert asked == calls
    told = as_text(graph, graph.initial(), names, how.default)
    expected = [", ".join(calls[name]) for name in graph.order if name in calls]
    assert re.findall(r"one call to (.*)", told) == expected
    # Each node with a parameter to be optimised has a gradient to learn from.
    users = {n for n, node in graph.nodes.items() if set(node.parameters.values()) & set(names)}
    assert users <= set(gradients)


def test_own_backward_of_a_node_stands_in_place_of_the_method_s(tmp_path: Path) -> None:
    method = ["method.backward.calls=edge", "method.backward.attempts=5"]
    ready = prepared([*method, "+graph.nodes.desk.backward={attempts: 1}"], tmp_path, "")
    assert ready.method.differentiation is not None
    default, own = ready.method.differentiation.default, ready.problem.graph.nodes["desk"].backward
    assert isinstance(default, PromptBackward)
    assert (default.per_edge, default.ask.attempts) == (True, 5)
    assert own == replace(default, per_edge=False, ask=replace(default.ask, attempts=1))


# Commands that need nothing to optimise.


def test_graph_without_anything_to_optimise_can_be_looked_at(tmp_path: Path) -> None:
    frozen = "graph.nodes.answer.parameters.instruction={value: Solve., frozen: true}"
    ended = run(["graph", "graph=single", frozen], tmp_path)
    assert ended.stderr == "['hydra', 'omegaconf']\n"
    assert "  instruction (frozen):\n    Solve." in ended.stdout


# Shell completion, driven as the shell does.

COMMANDS = re.findall(r"^  ([a-z]+) {2,}", USAGE, re.MULTILINE)
COMPLETIONS: Mapping[str, Sequence[str]] = {
    "sgdflow ": COMMANDS,
    "sgdflow opt": ["optimize"],
    "sgdflow optimize graph=h": ["graph=hints", "graph=hints_divided"],
    "sgdflow  graph  graph=hints method.gate.": [
        "method.gate.examples=",
        "method.gate.first=",
        "method.gate.guard=",
        "method.gate.level=",
        "method.gate.repeats=",
        "method.gate.rule=",
        "method.gate.tolerance=",
        "method.gate.wave=",
    ],
    "bin/sgdflow evaluate experiments=q": ["experiments=quickstart"],
    "sgdflow optimize graph=zzz": [],
}


@pytest.mark.parametrize("line", COMPLETIONS)
def test_shell_completion(line: str, tmp_path: Path) -> None:
    words = ["-sc", "query=bash"]
    ended = run(words, tmp_path, COMP_LINE=line, COMP_POINT=str(len(line)))
    assert ended.stdout.split() == [*COMPLETIONS[line]]
    assert ended.returncode == 0
    assert list(tmp_path.iterdir()) == []


# Arithmetic for code nodes.

NO_EXPRESSION = "'{}' is no arithmetic expression"
MORE = "'{}' holds more than numbers, parentheses and + - * / // %"
CALCULATED: Mapping[str, str] = {
    "1 + 2 * 3": "7",
    "(1 + 2) * 3": "9",
    " -4 - -2 ": "-2",
    "6 / 2": "3",
    "7 / 2": "3.5",
    "7 // 2": "3",
    "7 % 4": "3",
    "2 + 2 =": "4",
    "1,234,567 + 1": "1234568",
    "1.5 * 1,000": "1500",
    "12345678901234567890 * 10": "123456789012345678900",
    # A comma that separates no thousands is not simply left out.
    "1,2": MORE,
    "12,34 + 1": MORE,
    "": NO_EXPRESSION,
    "1 +": NO_EXPRESSION,
    "5 apples": NO_EXPRESSION,
    "$5": NO_EXPRESSION,
    "x = 5": NO_EXPRESSION,
    "x": MORE,
    "True": MORE,
    "'a' * 9": MORE,
    "2 ** 999999": MORE,
    "2(3)": MORE,
    "[1][0]": MORE,
    "1 < 2": MORE,
    "1j": MORE,
    "(lambda: 1)()": MORE,
    "__import__('os').getcwd()": MORE,
    "().__class__": MORE,
    "1" * 1001: "an expression of 1001 characters is too long",
    "1e308 * 10": "'{}' is too large",
    "1e999 - 1e999": "'{}' is too large",
    "-" * 999 + "1": "'{}' is nested too deeply",
}


@pytest.mark.parametrize("expression", CALCULATED)
def test_calculate(expression: str) -> None:
    expected = CALCULATED[expression]
    try:
        result = calculate(expression)
    except ValueError as error:
        result = str(error)
    assert result == expected.format(expression)


@pytest.mark.parametrize("expression", ["1 / 0", "1 // 0", "1 % 0", "1 / (2 - 2.0)"])
def test_division_by_zero_has_no_value(expression: str) -> None:
    with pytest.raises(ZeroDivisionError):
        calculate(expression)
