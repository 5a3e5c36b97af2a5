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
import yaml
from conftest import Start

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


@pytest.mark.timeout(400)
def test_every_command_finds_the_project(project: Path, tmp_path: Path, at: Start) -> None:
    """Given from elsewhere; all that is left behind stands in the project."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    there = f"--project={project}"
    code, out, err = at(
        elsewhere, "optimize", there, "experiments=quickstart", "hydra.run.dir=runs/one"
    )
    assert code == 0, err
    assert (out + err + (project / "runs/one/sgdflow.log").read_text()).count(HIDES) >= 1
    assert out.splitlines()[-1] == str(project / "runs/one")
    assert f" --project {project} show runs/one\n" in out
    scores = json.loads((project / "runs/one/result.json").read_text())["scores"]
    assert scores["test"]["final"]["mean"] == 1
    (project / "runs/one/initial.yaml").unlink()
    (project / "in.jsonl").write_text('{"question": "why"}\n')
    for words in (
        ["evaluate", "experiments=quickstart", "hydra.run.dir=runs/two"],
        ["plan", "experiments=quickstart"],
        ["probe", "experiments=quickstart", "hydra.run.dir=runs/three"],
        ["check", "experiments=quickstart"],
        ["graph", "experiments=quickstart"],
        ["show", "runs/one"],
        ["report", "runs/one", "--out", "page.html"],
        ["export", "runs/one", "--to", "taken"],
        ["predict", "runs/one", "--input", "in.jsonl"],
        ["predict", "taken", "--input", "in.jsonl"],
    ):
        code, out, err = at(elsewhere, *words, SGDFLOW_PROJECT=str(project))
        assert code == 0, (words, err)
        if words[0] == "predict":
            assert out == '{"output": "WHY"}\n'
        if words[0] == "plan":
            assert out.count(HIDES) == 1
    assert f"{project}/mlflow.db" in at(elsewhere, "compare", there)[2]  # nothing is recorded
    assert list(elsewhere.iterdir()) == []


@pytest.mark.timeout(600)
@pytest.mark.parametrize("launcher", ["basic", "joblib", "submitit_local"])
def test_the_workers_of_a_launcher_find_it_too(launcher: str, project: Path) -> None:
    module = {"joblib": "hydra_plugins.hydra_joblib_launcher", "basic": "hydra"}.get(
        launcher, "hydra_plugins.hydra_submitit_launcher"
    )
    pytest.importorskip(module)
    words = ["experiments=quickstart", "seed=0,1", "hydra.sweep.dir=all", "hydra.job.chdir=true"]
    words += [] if launcher == "basic" else [f"hydra/launcher={launcher}"]
    words = ["-m", "sgdflow", "optimize", "-m", f"--project={project}", *words]
    ended = subprocess.run(
        [sys.executable, *words],
        cwd=project.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
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
    told = f"SGDFLOW_PROJECT: there is no folder {project}/nowhere."
    assert str(refused.value) == f"{told} `sgdflow init DIR` makes a project."
    sys.modules.pop("my_tools", None)


def test_a_folder_that_is_not_there_is_told(tmp_path: Path, at: Start) -> None:
    told = (
        f"--project: there is no folder {tmp_path}/nowhere. `sgdflow init DIR` makes a project.\n"
    )
    assert at(tmp_path, "optimize", "--project", "nowhere") == (1, "", told)
    assert at(tmp_path, "graph", "--project")[2] == "--project: needs a folder after it.\n"


def test_what_init_makes_stands_where_it_is_said(tmp_path: Path, at: Start) -> None:
    told = (
        "--project: names a project that is there, and init makes one in the folder that comes "
        "after it. To make one in 'my place': sgdflow init 'my place'\n"
    )
    assert at(tmp_path, "init", "mine", "--project", "my place") == (1, "", told)
    assert [*tmp_path.iterdir()] == []
    # The environment may name what is to be made.
    assert at(tmp_path, "init", "mine", SGDFLOW_PROJECT="mine")[0] == 0
    assert (tmp_path / "mine/README.md").is_file()


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


def test_a_graph_is_called_as_its_file_is_unless_it_says_otherwise(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    whole = "inputs: [q]\nnodes: {a: {predecessors: [q]}}\noutput: a\n"
    files = {
        "first": whole,
        "second": f"name: other\n{whole}",
        "third": "defaults: [sgdflow/single, _self_, part]\n",
        "part": "nodes: {answer: {timeout: 9}}\n",
    }
    for name, text in files.items():
        (project / f"conf/graph/{name}.yaml").write_text(text)
    names = {name: compose([f"graph={name}"])["graph"]["name"] for name in files if name != "part"}
    assert names == {"first": "first", "second": "other", "third": "single"}
    assert compose(["graph=third"])["graph"]["nodes"]["answer"]["timeout"] == 9
    for group in ("launcher", "sweeper"):
        with pytest.raises(ConfigError) as refused:
            compose([f"hydra/{group}=slurmm"])
        looked = f"Looked in: {conf_folder()}/hydra/{group}"
        assert looked in str(refused.value)


def test_files_of_a_project_are_bounded_before_hydra_follows_them(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    bomb = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    bomb += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 6)]
    (project / "conf/pods.yaml").write_text("kind: !not-ours x")  # somebody else's, left alone
    assert compose(["graph=sgdflow/hints"])["graph"]["name"] == "hints"
    for name in ("conf/graph/bomb.yaml", "experiments/bomb.yaml"):
        (project / name).write_text("\n".join(bomb))
        with pytest.raises(ConfigError, match=r"bomb.yaml cannot be read: line .* aliases stand"):
            compose([])
        (project / name).unlink()


def test_a_file_that_is_no_yaml_stands_in_the_way_of_those_alone_who_choose_it(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    file = project / "conf/graph/broken.yaml"
    file.write_text("name: broken\nnodes: {a: {parameters: {instruction: Count, b: 1\n")
    assert compose(["graph=sgdflow/hints"])["graph"]["name"] == "hints"
    file.write_text("name: broken\nnodes: {a: {parameters: {instruction: Add up: what is it?}}}\n")
    with pytest.raises(ConfigError) as refused:
        compose(["graph=broken"])
    assert str(refused.value).endswith(
        "line 2, column 45: expected ',' or '}', but got ':'. A text that holds any of "
        ", : ? { } [ ] # goes into quotes."
    )


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
    project: Path, monkeypatch: pytest.MonkeyPatch, at: Start
) -> None:
    monkeypatch.chdir(project)
    shipped = conf_folder()
    for word, told in {
        "graph=tickets": f"Looked in: {project}/conf/graph, {shipped}/graph; one of your own is "
        f"found in {project}/conf/graph/tickets.yaml.",
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
    tool = "graph.nodes.answer.forward._target_=my_tool.f"
    assert at(project, "graph", "graph=hints", tool)[2] == (
        "graph.nodes.answer.forward._target_: cannot import 'my_tool' (No module named 'my_tool'). "
        f"Modules are looked for in {project} and among the installed packages.\n"
    )
    prompt = "graph.nodes.hint_1.forward.prompt=forward/nodes.jinja"
    looked = f"Looked in: {project}/prompts, {prompt_folders(Path('nowhere'))[0]}."
    assert looked in at(project, "graph", "graph=hints", prompt)[2]


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


# What a run brings along

SMALL = ["graph=desk", "task.splits={train: 4, validation: 0, test: 6}", "tracking=none"]
SMALL += ["method.stop.steps=0", "llm.store.mode=off"]


def resolved(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((folder / "config.yaml").read_text())
    return found


def test_a_run_whose_parameters_are_taken_brings_graph_task_and_models(
    tmp_path: Path, at: Start
) -> None:
    code, _, err = at(tmp_path, "optimize", *SMALL, "seed=4", "hydra.run.dir=runs/one")
    assert code == 0, err
    one = json.loads((tmp_path / "runs/one/examples.jsonl").read_text().splitlines()[-1])
    words = ["evaluate", "parameters=runs/one", "tracking=none", "hydra.run.dir=two"]
    code, _, err = at(tmp_path, *words, "llm.limits.concurrency=3")
    assert code == 0, err
    scored = json.loads((tmp_path / "two/evaluation.json").read_text())
    assert (scored["graph"], scored["task"], scored["seed"]) == ("desk", "tariff", 4)
    assert len(scored["examples"]) == 6
    assert not (tmp_path / "replies.db").exists()  # as is said of the run's models
    assert one["example"] in scored["examples"]  # the same split
    # Told otherwise, and further: what is said of the run's own task is laid over it.
    run = f"parameters={tmp_path}/runs/one"
    words = ["optimize", run, "task.splits.train=5", "seed=5", "hydra.run.dir=three", *SMALL[2:]]
    assert at(tmp_path, *words)[0] == 0
    first, then = resolved(tmp_path / "runs/one"), resolved(tmp_path / "three")
    assert then["task"]["splits"] == {**first["task"]["splits"], "train": 5}
    assert {**then, "task": 0, "seed": 4, "parameters": None} == {**first, "task": 0}
    assert "finished: nothing to do" in at(tmp_path, *words)[1]
    assert "graph desk" in at(tmp_path, "graph", run)[1]
    assert "graph tariff" in at(tmp_path, "graph", run, "experiments=quickstart")[1]
    told = at(tmp_path, "graph", "-m", "parameters=runs/one,three")[2]
    assert told == (
        "parameters: each of several runs would bring its own graph, task, llm. Say which is "
        "meant (graph=NAME), or start one command a run.\n"
    )


def test_a_strangers_run_brings_nothing_that_was_not_looked_at(
    project: Path, at: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert at(project, "optimize", "experiments=quickstart", "hydra.run.dir=one")[0] == 0
    monkeypatch.setenv("XDG_STATE_HOME", str(project / "of somebody else"))
    words = ["graph", "parameters=one", "llm=simulated"]
    code, _, err = at(project, *words)
    assert code == 1
    assert "run my_tools.shout (graph.nodes.answer.forward._target_)" in err
    assert "--trust" in err
    assert at(project, *words, "--trust")[0] == 0
    assert at(project, "graph", "graph=run/one", "task=mine")[0] == 1
    told = ["graph=hints", "task=mine", "llm=simulated"]
    assert at(project, "graph", *told, "parameters=one")[0] == 0  # its texts alone
