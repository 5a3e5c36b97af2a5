"""The home of a user's project: its files come first, for every command, and what they replace."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import sgdflow
from sgdflow.config.compose import compose
from sgdflow.config.paths import conf_folder, prompt_folders
from sgdflow.config.project import hiding
from sgdflow.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
GRAPH = """\
defaults: [sgdflow/hints, _self_]
name: mine
nodes:
  answer: {forward: {_target_: my_tools.shout}, parameters: null}
"""
EXPERIMENT = """\
# @package _global_
defaults: [override /graph: hints, override /task: mine, override /tracking: none]
method: {stop: {steps: 1}}
"""
TASK = """\
defaults: [table, _self_]
name: mine
path: data/rows.jsonl
inputs: [question]
target: answer
score: {_target_: my_tools.alike}
splits: {train: 4, validation: 0, test: 2}
"""
TOOLS = """\
def shout(question, *hints):
    return question.upper()

def alike(output, target):
    return float(output == target)

def loss(output, target, weight=1):
    return "worse"
"""
HIDES = (
    "Own files hide sgdflow's: conf/graph/hints.yaml, experiments/quickstart.yaml, "
    "prompts/forward/node.jinja. What they hide is still there with sgdflow/ before its name "
    "(docs/configuration.md)."
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    home = tmp_path / "project"
    rows = [{"question": f"q{n}", "answer": f"Q{n}"} for n in range(6)]
    files = {
        "conf/graph/hints.yaml": GRAPH,
        "conf/task/mine.yaml": TASK,
        "experiments/quickstart.yaml": EXPERIMENT,
        "prompts/forward/node.jinja": '{% extends "sgdflow/forward/node.jinja" %}',
        "data/rows.jsonl": "".join(json.dumps(row) + "\n" for row in rows),
        "my_tools.py": TOOLS,
    }
    for name, text in files.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text)
    return home


def start(folder: Path, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Start the installed program, which unlike python -m does not look into its folder."""
    code = "import sys; sys.path = [p for p in sys.path if p]; from sgdflow.cli.main import main; "
    return subprocess.run(
        [sys.executable, "-P", "-c", f"{code}sys.exit(main())", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environ},
        capture_output=True,
        text=True,
        timeout=110,
    )


@pytest.mark.timeout(400)
def test_every_command_finds_the_project(project: Path, tmp_path: Path) -> None:
    """Given from elsewhere; all that is left behind stands in the project."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    at = f"--project={project}"
    run = start(elsewhere, "optimize", at, "experiments=quickstart", "hydra.run.dir=runs/one")
    assert run.returncode == 0, run.stderr
    assert run.stdout.count(HIDES) == 1
    assert run.stdout.splitlines()[-1] == str(project / "runs/one")
    read = next(line for line in run.stdout.splitlines() if line.startswith("Read it:"))
    assert read.endswith(f"--project {project} show runs/one")
    scores = json.loads((project / "runs/one/result.json").read_text())["scores"]
    assert scores["test"]["final"]["mean"] == 1
    assert list(elsewhere.iterdir()) == []
    (project / "runs/one/initial.yaml").unlink()
    (project / "in.jsonl").write_text('{"question": "why"}\n')
    for words in (
        ["evaluate", "experiments=quickstart", "hydra.run.dir=runs/two"],
        ["plan", "experiments=quickstart"],
        ["graph", "experiments=quickstart"],
        ["show", "runs/one"],
        ["report", "runs/one", "--out", "page.html"],
        ["export", "runs/one", "--to", "taken"],
        ["predict", "runs/one", "--input", "in.jsonl"],
        ["predict", "taken", "--input", "in.jsonl"],
    ):
        ended = start(elsewhere, *words, SGDFLOW_PROJECT=str(project))
        assert ended.returncode == 0, (words, ended.stderr)
        if words[0] == "predict":
            assert ended.stdout == '{"output": "WHY"}\n'
        if words[0] == "plan":
            assert ended.stdout.count(HIDES) == 1
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("launcher", ["basic", "joblib", "submitit_local"])
def test_the_workers_of_a_launcher_find_it_too(launcher: str, project: Path) -> None:
    module = {"joblib": "hydra_plugins.hydra_joblib_launcher", "basic": "hydra"}.get(
        launcher, "hydra_plugins.hydra_submitit_launcher"
    )
    pytest.importorskip(module)
    words = ["experiments=quickstart", "seed=0,1", "hydra.sweep.dir=all", "hydra.job.chdir=true"]
    words += [] if launcher == "basic" else [f"hydra/launcher={launcher}"]
    ended = start(project.parent, "optimize", "-m", f"--project={project}", *words)
    assert ended.returncode == 0, ended.stderr + ended.stdout
    for job in ("0", "1"):
        result = json.loads((project / "all" / job / "result.json").read_text())
        assert result["scores"]["test"]["final"]["mean"] == 1


def test_python_finds_it_by_its_folder_or_the_environment(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    flow = sgdflow.load("experiments=quickstart", working=project)
    assert flow.predict({"question": "why"}) == "WHY"
    summary = flow.evaluate("test").summary()
    assert summary is not None
    assert summary.mean == 1
    monkeypatch.setenv("SGDFLOW_PROJECT", str(project))
    assert sgdflow.load("experiments=quickstart").graph.name == "mine"
    monkeypatch.setenv("SGDFLOW_PROJECT", str(project / "nowhere"))
    with pytest.raises(ConfigError) as refused:
        sgdflow.load("experiments=quickstart")
    assert str(refused.value) == f"SGDFLOW_PROJECT: there is no folder {project}/nowhere."
    monkeypatch.delitem(sys.modules, "my_tools", raising=False)


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    ended = start(tmp_path, "optimize", "--project", "nowhere")
    assert (ended.returncode, ended.stderr) == (
        1,
        f"--project: there is no folder {tmp_path}/nowhere.\n",
    )
    assert start(tmp_path, "graph", "--project").stderr == "--project: needs a folder after it.\n"


# What hides what


def test_a_shipped_file_has_a_name_that_nothing_hides(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    assert hiding(project) == HIDES
    assert compose(["graph=hints"])["graph"]["name"] == "mine"
    assert compose(["graph=sgdflow/hints"])["graph"]["name"] == "hints"
    assert compose(["experiments=quickstart"])["task"]["name"] == "mine"
    assert compose(["experiments=sgdflow/quickstart"])["task"]["name"] == "tariff"
    own = compose(["graph=hints"])["graph"]
    shipped = compose(["graph=sgdflow/hints"])["graph"]
    assert own["nodes"]["hint_1"] == shipped["nodes"]["hint_1"]  # extended, not copied
    only = compose(["method=sgdflow/liar/only_state", "graph=liar", "task=liar", "task.path=x"])
    assert only["method"]["update"]["parameters"] == ["state.instruction"]
    assert set(only) == set(compose([]))
    models = compose(["llm=sgdflow/openai", "llm.models.forward.api_base=http://here/v1"])["llm"]
    assert models["models"]["forward"]["model"].startswith("openai/")


def test_a_project_may_choose_what_every_command_starts_from(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    (project / "conf/config.yaml").write_text(
        "defaults: [graph: hints, task: mine, method: semantic, llm: simulated, tracking: none, "
        "hydra: default, _self_, experiments: null]\nseed: 5\nparameters: null\nsplit: test\n"
    )
    config = compose([])
    assert (config["graph"]["name"], config["task"]["name"], config["seed"]) == ("mine", "mine", 5)
    changed = compose(
        ["graph=sgdflow/single", "seed=6", "experiments=sgdflow/gsm8k", "task.path=x"]
    )
    assert (changed["graph"]["name"], changed["task"]["name"]) == ("single", "gsm8k")
    with pytest.raises(ConfigError, match=r"^graph: there is no 'hintz'\. Did you mean 'hints'\?"):
        compose(["graph=hintz"])


def test_could_not_find_says_where_was_looked(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    shipped = conf_folder()
    for word, told in {
        "graph=triage": f"Looked in: {project}/conf/graph, {shipped}/graph; one of your own is "
        f"found in {project}/conf/graph/triage.yaml.",
        "llm=mine": f"Looked in: {shipped}/llm; one of your own is found in "
        f"{project}/conf/llm/mine.yaml.",
        "experiments=first": f"Looked in: {project}/experiments, {shipped}/experiments; one of "
        f"your own is found in {project}/experiments/first.yaml.",
        "graph=sgdflow/hintz": f"There are: {', '.join(_shipped('graph'))}. Looked in: "
        f"{shipped}/graph.",
    }.items():
        with pytest.raises(ConfigError) as refused:
            compose([word])
        assert str(refused.value).endswith(told), word
    ended = start(project, "graph", "graph=hints", "graph.nodes.answer.forward._target_=my_tool.f")
    assert ended.stderr == (
        "graph.nodes.answer.forward._target_: cannot import 'my_tool' (No module named 'my_tool'). "
        f"Modules are looked for in {project} and among the installed packages.\n"
    )
    prompt = "graph.nodes.hint_1.forward.prompt=forward/nodes.jinja"
    ended = start(project, "graph", "graph=hints", prompt)
    assert f"Looked in: {project}/prompts, {prompt_folders(Path('nowhere'))[0]}." in ended.stderr


def _shipped(group: str) -> Sequence[str]:
    return sorted(path.stem for path in (conf_folder() / group).glob("*.yaml"))


# What replaces what

ANEW: dict[str, Any] = {"_target_": "my_tools.loss", "weight": 2}


@pytest.mark.parametrize("part", ["loss", "backward", "update"])
@pytest.mark.parametrize("new", [ANEW, None], ids=["target", "null"])
def test_a_target_or_a_null_replaces_what_is_shipped(
    part: str, new: Any, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a method that extends a shipped one, in an experiment, and on the command line."""
    monkeypatch.chdir(project)
    assert "prompt" in compose([])["method"][part]
    text = json.dumps({part: new})[1:-1]
    (project / "conf/method").mkdir()
    for name, defaults in (("one", "[semantic]"), ("two", "[sgdflow/semantic, _self_]")):
        (project / f"conf/method/{name}.yaml").write_text(f"defaults: {defaults}\n{text}\n")
        assert compose([f"method={name}"])["method"][part] == new
    (project / "experiments/over.yaml").write_text(
        "# @package _global_\ndefaults: [override /method: paper]\n"
        f"method: {{stop: {{steps: 3}}, {text}}}\n"
    )
    over = compose(["experiments=over"])["method"]
    assert (over["name"], over["stop"]["steps"], over[part]) == ("paper", 3, new)
    if new is None:
        assert compose([f"method.{part}=null"])["method"][part] is None
    else:
        words = [f"method.{part}.weight=2", f"method.{part}._target_=my_tools.loss"]
        assert compose(words)["method"][part] == new
        assert (
            compose([f"method.{part}={{_target_:my_tools.loss,weight:2}}"])["method"][part] == new
        )
        # What is said later of it is added.
        assert compose([f"method={'one'}", f"method.{part}.weight=3"])["method"][part] == {
            **ANEW,
            "weight": 3,
        }


def test_a_target_replaces_a_scorer_with_what_it_takes(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    (project / "conf/task/strict.yaml").write_text(
        "defaults: [mine]\nscore: {_target_: my_tools.alike, close: 1}\n"
    )
    assert compose(["task=strict"])["task"]["score"] == {"_target_": "my_tools.alike", "close": 1}
    word = "task.score._target_=my_tools.alike"
    assert compose(["task=strict", word])["task"]["score"] == {"_target_": "my_tools.alike"}
