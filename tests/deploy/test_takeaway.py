"""Taking the result away: a run, or a folder exported from it, answers the same anywhere."""

from __future__ import annotations

import asyncio
import io
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

import sgdflow
from sgdflow.api import Flow
from sgdflow.cli.main import main
from sgdflow.deploy.predict import Prediction, predict
from sgdflow.errors import ConfigError, DataError, NodeFailed, SgdflowError
from sgdflow.records import FORMAT, RunFolder, as_yaml

SMALL = ("experiments=quickstart", "tracking=none", "method.stop.steps=1", "task.splits.train=8")
ORDER = {"order": "Price this order. Weight: none. Zone: none. Service: express."}
OWN = {
    "prompts/forward/own.jinja": '{% extends "sgdflow/forward/node.jinja" %}',
    "prompts/forward/kinds.jinja": 'Do: {% include "parts/" ~ node.name ignore missing %}',
    "prompts/parts/a.jinja": "Say it.",
    "own_tools.py": "def shout(text):\n    return {'said': text.upper()}\n",
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in OWN.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.fixture
def recorded(here: Path) -> Path:
    """A run directory, as a run leaves it behind."""
    flow = sgdflow.load(*SMALL)
    folder = RunFolder(here / "run")
    folder.begin(flow.config, flow.parameters)
    folder.save({**flow.parameters, "desk.instruction": "Add {{ 7*7 }} up, and ${zone}."})
    return folder.path


def command(*words: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["sgdflow", *words])
    return main()


def test_exported_folder_answers_as_the_run_does_where_nothing_else_is(
    recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = sgdflow.load(recorded)
    folder = run.export("away")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    folder.rename(elsewhere / "desk")
    monkeypatch.chdir(elsewhere)
    away = sgdflow.load("desk")
    assert away.parameters == run.parameters
    assert away.parameters["desk.instruction"] == "Add {{ 7*7 }} up, and ${zone}."
    assert away.prompts.folders == (Path("desk/prompts"),)
    assert away.run(ORDER) == run.run(ORDER)
    shown = {path.relative_to("desk").as_posix() for path in Path("desk").rglob("*.*")}
    assert shown == {
        "README.md", "export.json", "graph.yaml", "llm.yaml", "parameters.yaml",
        "prompts/forward/node.jinja", "prompts/reply/again.jinja", "prompts/reply/tagged.jinja",
        "requirements.txt",
    }  # fmt: skip
    assert Path("desk/requirements.txt").read_text().splitlines()[0] == "sgdflow==0.1.0"
    with pytest.raises(ConfigError, match="desk has no task and no method"):
        away.evaluate()
    with pytest.raises(ConfigError, match="desk exists already"):
        run.export("desk")


def test_export_brings_the_users_own_templates_and_code(here: Path) -> None:
    nodes: Mapping[str, Any] = {
        "a": {"predecessors": ["q"], "forward": {"prompt": "forward/own.jinja"}},
        "b": {"predecessors": ["a"], "forward": {"_target_": "own_tools.shout"}},
        "c": {"predecessors": ["b"], "forward": {"prompt": "forward/kinds.jinja"}},
    }
    graph = {"name": "own", "inputs": ["q"], "nodes": nodes, "output": "c"}
    config = {**sgdflow.load(*SMALL).config, "graph": graph}
    folder = RunFolder(here / "run")
    folder.begin(config, {})
    prompts = sgdflow.load(folder.path, trust=True).export("away") / "prompts"
    assert (prompts / "forward/own.jinja").read_text() == OWN["prompts/forward/own.jinja"]
    assert (prompts / "sgdflow/forward/node.jinja").is_file()
    assert (prompts / "parts/a.jinja").is_file()
    assert (here / "away/code/own_tools.py").read_text() == OWN["own_tools.py"]
    assert list(sgdflow.load("away").graph.nodes) == ["a", "b", "c"]
    read = yaml.safe_load((here / "away/graph.yaml").read_text())
    assert read["nodes"] == nodes


def test_overrides_change_the_models_of_a_recorded_run(
    recorded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "made-up")
    flow = sgdflow.load(recorded, "llm=openai", "llm.api_base=http://x/v1")
    assert flow.program.calling.models["forward"].model == "openai/gpt-4o-mini"
    assert flow.program.calling.models["forward"].api_base == "http://x/v1"
    assert flow.parameters == sgdflow.load(recorded).parameters
    limited = sgdflow.load(recorded, "llm.limits.concurrency=3")
    assert limited.program.calling.limits.concurrency == 3
    with pytest.raises(ConfigError, match=r"llm.limit.concurrency=3: there is no llm.limit"):
        sgdflow.load(recorded, "llm.limit.concurrency=3")


ROWS = [
    json.dumps(ORDER),
    "",
    '{"ordr": 1}',
    "[1]",
    "{",
    '{"order": "Price this order. Weight: none. Zone: none. Service: express.", "id": 3}',
    json.dumps(ORDER),
]
WRONG = [
    "has 'ordr', and no 'order'. Did you mean 'order'?",
    "is a list, not an object with order.",
    "is no JSON (Expecting property name enclosed in double quotes, column 2).",
    "has id, which is no input. Inputs: order.",
]


def test_rows_are_answered_in_order_and_a_wrong_one_stops_no_other(recorded: Path) -> None:
    answers: list[Prediction] = []
    sgdflow.load(recorded).predict_lines(ROWS, answers.append)
    assert [one.error for one in answers[1:-1]] == [f"The row {wrong}" for wrong in WRONG]
    assert answers[0] == answers[-1]
    assert answers[0].error is None
    assert list(json.loads(answers[0].as_json())) == ["output"]


def test_the_value_of_another_node_is_written_and_nothing_behind_it_computed(
    recorded: Path,
) -> None:
    flow, answers = sgdflow.load(recorded), list[Prediction]()
    flow.predict_lines([json.dumps(ORDER)], answers.append, "service")
    assert answers[0].output == flow.run(ORDER).values["service"]
    part = flow.graph.upto("service")
    assert (list(part.nodes), part.output, part.parameters) == (
        ["service"],
        "service",
        flow.graph.parameters,
    )


def test_a_file_is_read_through_before_anything_is_spent(
    recorded: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("in.jsonl").write_text("\n".join(ROWS))
    words = ["predict", "run", "--input", "in.jsonl", "--output", "out.jsonl"]
    assert command(*words, monkeypatch=monkeypatch) == 1
    said = capsys.readouterr().err.splitlines()
    assert said == [f"in.jsonl, line {n}: {w}" for n, w in zip((3, 4, 5, 6), WRONG, strict=True)]
    assert not Path("out.jsonl").exists()
    Path("in.jsonl").write_text(f"{json.dumps(ORDER)}\n" * 2)
    assert command(*words, monkeypatch=monkeypatch) == 0
    first, second = map(json.loads, Path("out.jsonl").read_text().splitlines())
    assert first == second == {"output": sgdflow.load("run").predict(ORDER)}


def test_a_failed_row_shows_in_the_exit_code(
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    node = {"predecessors": ["q"], "forward": {"_target_": "math.sqrt"}}
    graph = {"name": "root", "inputs": ["q"], "nodes": {"a": node}, "output": "a"}
    RunFolder(here / "run").begin({**sgdflow.load(*SMALL).config, "graph": graph}, {})
    Path("in.jsonl").write_text('{"q": 4}\n{"q": -4}\n{"q": 9}\n')
    predict = ("predict", "run", "--input", "in.jsonl", "--trust")
    assert command(*predict, monkeypatch=monkeypatch) == 3
    said = capsys.readouterr()
    assert caplog.messages == [
        "run has no result: the run is under way, was stopped or failed. "
        "Its best parameters so far are taken."
    ]
    assert [json.loads(line) for line in said.out.splitlines()] == [
        {"output": 2.0},
        {"error": "a: math.sqrt raised ValueError: math domain error"},
        {"output": 3.0},
    ]
    assert said.err == "1 of 3 rows has no output; each says why.\n"
    for rows, told in (
        ('{"q": -4}\n', "No output for 1 row; "),
        ("\n", "The input has no row, so"),
    ):
        Path("in.jsonl").write_text(rows)
        assert command(*predict, monkeypatch=monkeypatch) == 1
        assert capsys.readouterr().err.startswith(told)


def test_a_stream_is_answered_as_it_comes_and_never_read_far_ahead() -> None:
    busy = most = read = written = 0
    ahead = []

    def lines() -> Iterator[str]:
        nonlocal read
        for number in range(500):
            read += 1
            yield json.dumps({"q": number})

    async def answer(inputs: Mapping[str, Any]) -> int:
        nonlocal busy, most
        busy, most = busy + 1, max(most, busy + 1)
        await asyncio.sleep(0.001 * (inputs["q"] % 3))
        busy -= 1
        return int(inputs["q"])

    outputs = []

    def write(prediction: Prediction) -> None:
        nonlocal written
        written += 1
        outputs.append(prediction.output)
        ahead.append(read - written)

    asyncio.run(predict(lines(), ["q"], answer, write, 4))
    assert outputs == list(range(500))
    assert 4 <= most <= 6
    assert max(ahead) <= 12


def test_a_notebook_is_told_to_await(recorded: Path) -> None:
    async def cell(flow: Flow) -> Any:
        with pytest.raises(SgdflowError, match=r"write `await` and apredict\(\.\.\.\)"):
            flow.predict(ORDER)
        return await flow.apredict(ORDER)

    flow = sgdflow.load(recorded)
    assert asyncio.run(cell(flow)) == flow.predict(ORDER)


def test_what_python_is_told_of_wrong_inputs_and_failures(here: Path) -> None:
    flow = sgdflow.load(*SMALL)
    with pytest.raises(DataError, match="The input has no order"):
        flow.predict({})
    with pytest.raises(ConfigError, match=r"graph 'tariff' has no parameter 'dsk.instruction'"):
        flow.with_parameters({"dsk.instruction": "Add."})
    node = {"predecessors": ["q"], "forward": {"_target_": "math.sqrt"}}
    graph = {"name": "root", "inputs": ["q"], "nodes": {"a": node}, "output": "a"}
    RunFolder(here / "run").begin({**flow.config, "graph": graph}, {})
    with pytest.raises(NodeFailed, match=r"a: math.sqrt raised ValueError"):
        sgdflow.load("run", trust=True).predict({"q": -1})


BAD: Mapping[str, tuple[Mapping[str, str], str]] = {
    "nothing": ({"run/x": ""}, "run holds no run: it has no config.yaml."),
    "a multirun": (
        {"run/0/config.yaml": "", "run/1/config.yaml": "", "run/.hydra/config.yaml": ""},
        "run holds a multirun of 2 jobs: name one of them, such as run/0, run/1.",
    ),
    "another format": (
        {"run/config.yaml": "{}", "run/result.json": '{"format": 7, "version": "0.9"}'},
        "The run run was written by sgdflow 0.9 in format 7; sgdflow 0.1.0 reads formats 1 to 2. "
        "Read it with pip install sgdflow==0.9; its parameters.yaml is plain data that "
        "parameters=FILE takes in any version.",
    ),
    "a step of another format": (
        {"run/config.yaml": "{}", "run/steps.jsonl": '{"format": 7}\n'},
        "The run run was written by another version in format 7; sgdflow 0.1.0 reads formats 1 to "
        "2. Read it with that version; its parameters.yaml is plain data that parameters=FILE "
        "takes in any version.",
    ),
    "an export of another format": (
        {"run/export.json": '{"format": 7, "version": "1.0"}'},
        "The folder run was written by sgdflow 1.0 in format 7; sgdflow 0.1.0 reads formats 1 to "
        "2. Read it with pip install sgdflow==1.0; its parameters.yaml is plain data that "
        "parameters=FILE takes in any version.",
    ),
    "broken": ({"run/config.yaml": "[1"}, "run/config.yaml cannot be read: "),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_run_is_told_apart(name: str, here: Path) -> None:
    files, said = BAD[name]
    for file, text in files.items():
        (here / file).parent.mkdir(parents=True, exist_ok=True)
        (here / file).write_text(text)
    with pytest.raises(ConfigError) as told:
        sgdflow.load("run")
    assert str(told.value).startswith(said)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["predict", "nope"], "There is no directory nope, and no id of an MLflow run looks like"),
        (["export", "abcdef12"], "There are no runs at {here}/mlflow.db yet: run"),
        (["predict", "run", "seed=2"], "seed=2: predict changes nothing but llm."),
        (
            ["predict", "run", "in.jsonl"],
            "in.jsonl: predict changes nothing but llm. A file of rows is named with --input "
            "in.jsonl.",
        ),
        (
            ["export", "run", "--to", "file/x"],
            "file/x cannot be written: Not a directory (file/x). Export to another folder",
        ),
        (["simulate", "--port", "70000"], "Cannot serve at 127.0.0.1:70000: bind(): port must be"),
        (
            ["predict", "run", "--node", "zoen"],
            "--node: there is no node 'zoen'. Did you mean 'zone'? There are: weight, zone",
        ),
        (
            ["predict", "run", "--input", "no.jsonl"],
            "--input: there is no file no.jsonl. Looked in: {here}.",
        ),
        (["predict", "run", "--input", "run"], "--input: run cannot be read: "),
        (["export", "run", "--to", "run"], "run exists already: export to a new folder"),
    ],
)
def test_commands_say_what_is_wrong(
    words: list[str],
    said: str,
    recorded: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    (recorded.parent / "file").touch()
    assert command(*words, monkeypatch=monkeypatch) == 1
    assert capsys.readouterr().err.startswith(said.format(here=recorded.parent))


def test_parameters_are_saved_and_loaded_as_plain_data(here: Path) -> None:
    flow = sgdflow.load(*SMALL)
    changed = flow.with_parameters({"zone.instruction": "{% if %} ${x}\n  - é\n"})
    sgdflow.save_parameters(changed.parameters, "p.yaml")
    assert sgdflow.load_parameters("p.yaml", flow.graph) == changed.parameters
    assert (here / "p.yaml").read_text() == as_yaml(changed.parameters)


def test_the_python_page_runs_as_it_stands(here: Path) -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "python.md"
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 6
    names: dict[str, Any] = {}
    exec("\n".join(blocks), names)
    assert names["after"].mean > names["before"].mean


@pytest.fixture
def stepped(recorded: Path) -> Path:
    """The run has two steps: one accepted, one not."""
    score = {"mean": 0.5, "n": 8, "low": 0.2, "high": 0.8, "failed": 0}
    example = {
        "example": "tariff/1",
        "score": 0.0,
        "values": {"order": "An order.", "desk": {"total": 3}},
        "feedback": "Wrong.\x1b[31m",
        "gradients": {"desk": [{"source": "loss", "value": "Say more."}]},
        "failures": {},
    }
    for number, text in ((1, "Add all parts up."), (2, "Add the parts.")):
        record = {
            "format": FORMAT,
            "step": number,
            "scores": {"train": score, "candidate": None, "validation": None},
            "accepted": number == 1,
            "reason": "better" if number == 1 else "worse",
            "sampled": [example],
            "proposal": {"desk.instruction": text},
            "skipped": {"zone.instruction": "it was empty"},
        }
        RunFolder(recorded).append(record, {"format": FORMAT, "step": number})
    return recorded


def test_show_prints_parameters_as_they_were_and_are(
    stepped: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("show", "run", monkeypatch=monkeypatch) == 0
    said = capsys.readouterr().out
    assert said.startswith(
        "run  semantic, tariff, tariff, simulated, seed 0\n"
        "2 steps, 1 accepted. No result: the run is under way, was stopped or failed.\n"
    )
    assert (
        "\ndesk.instruction\n"
        "    Add[- up the prices of the parts.-]{+ {{ 7*7 }} up, and ${zone}.+}\n"
    ) in said
    assert "zone.instruction  unchanged\n    Price the zone of the order.\n" in said
    assert "  step 2: rejected, worse\n" in said


def test_show_prints_a_step_against_the_parameters_as_they_stood(
    stepped: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("show", "run", "--step", "2", monkeypatch=monkeypatch) == 0
    assert capsys.readouterr().out == (
        "step 2: rejected, worse\n"
        "  train       0.500 (0.20 to 0.80, 8 examples)\n"
        "\ndesk.instruction\n    Add[- all parts up.-]{+ the parts.+}\n"
        "\nzone.instruction  no new text: it was empty\n"
        "\nexample tariff/1, score 0\n"
        "  order =\n    An order.\n"
        '  desk =\n    {"total": 3}\n'
        "  feedback:\n    Wrong.\\x1b[31m\n"
        "  gradient of desk, from loss:\n    Say more.\n"
    )
    assert command("show", "run", "--step", "3", monkeypatch=monkeypatch) == 1
    assert capsys.readouterr().err == "--step 3: run has steps 1 to 2.\n"


@pytest.mark.parametrize("kind", ["svg", "html"])
def test_graph_is_drawn_with_what_its_nodes_are_told(
    kind: str, here: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    hostile = "graph.nodes.desk.parameters.instruction='<script>{{x}}</script>'"
    words = ["graph", "graph=tariff", hostile, "--picture", f"g.{kind}"]
    assert command(*words, monkeypatch=monkeypatch) == 0
    drawn = (here / f"g.{kind}").read_text()
    assert "&lt;script&gt;{{x}}&lt;/script&gt;" in drawn
    assert "<script" not in drawn
    svg = drawn[drawn.index("<svg") : drawn.index("</svg>") + 6]
    texts = {text for one in ElementTree.fromstring(svg).iter() for text in one.itertext()}
    assert {"order", "weight", "zone", "service", "desk"} <= texts
    assert command("graph", "--picture", "g.png", monkeypatch=monkeypatch) == 1
    said = capfd.readouterr().err
    assert said == "--picture g.png: the name of a picture ends with .svg or .html.\n"
