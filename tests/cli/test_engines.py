"""Launchers and sweepers: presets, refusals, and jobs that begin in another folder."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pytest
from conftest import Start
from hydra.conf import HydraConf
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from sgdflow.cli import engines, optimize
from sgdflow.cli.engines import Engines
from sgdflow.config.job import hydra_config
from sgdflow.config.paths import conf_folder
from sgdflow.config.project import check_reached
from sgdflow.errors import ConfigError
from sgdflow.records.source import read_steps

ROOT = Path(__file__).resolve().parents[2]
LAUNCHERS = {"joblib": "joblib", "ray": "ray", "slurm": "slurm", "slurm_local": "slurm"}
SMALL = ["tracking=none", "method.stop.steps=0"]
SMALL += [f"task.splits.{split}=2" for split in ("train", "validation", "test")]
ELSEWHERE = """
import os
from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.config_store import ConfigStore

class Elsewhere(BasicLauncher):
    "Begins jobs in a folder of its own, as the workers of a cluster do."
    def launch(self, job_overrides, initial_job_idx):
        os.chdir(os.environ["BEGUN_IN"])
        os.environ.pop("SGDFLOW_PROJECT", None)
        return super().launch(job_overrides, initial_job_idx)

ConfigStore.instance().store(
    group="hydra/launcher", name="elsewhere", node={"_target_": "hydra_plugins.elsewhere.Elsewhere"}
)
"""


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> None:
    """No package of an engine is installed."""
    monkeypatch.setattr(engines, "find_spec", lambda name: None)


@pytest.mark.parametrize("launcher", sorted(LAUNCHERS))
def test_a_launcher_whose_package_is_missing_is_refused_with_the_word_to_install(
    launcher: str, without: None, tmp_path: Path, at: Start
) -> None:
    words = ["optimize", "-m", "seed=0,1", *SMALL, f"hydra/launcher={launcher}"]
    told = f"hydra/launcher={launcher}: its package is not installed: "
    told += f"pip install 'sgdflow[{LAUNCHERS[launcher]}]'\n"
    assert at(tmp_path, *words) == (1, "", told)
    assert list(tmp_path.iterdir()) == []


def test_so_is_a_sweeper(without: None, tmp_path: Path, at: Start) -> None:
    words = ["optimize", "-m", "seed=choice(0,1)", *SMALL, "hydra/sweeper=optuna"]
    told = "hydra/sweeper=optuna: its package is not installed: pip install 'sgdflow[optuna]'\n"
    assert at(tmp_path, *words) == (1, "", told)


def test_slurm_is_refused_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "find_spec", lambda name: name)
    monkeypatch.setenv("PATH", "")
    file = conf_folder() / "hydra" / "launcher" / "slurm.yaml"
    target = OmegaConf.select(OmegaConf.load(file), "_target_")
    config = sweep({"launcher": {"_target_": target}})
    config.hydra.runtime.choices["hydra/launcher"] = "slurm"
    with pytest.raises(SystemExit) as refused:
        Engines().on_multirun_start(config)
    assert str(refused.value) == (
        "hydra/launcher=slurm: there is no srun on this machine. Give the command where Slurm is, "
        "or try it here with hydra/launcher=slurm_local."
    )


def sweep(hydra: dict[str, Any], folder: str = "/all") -> DictConfig:
    config = OmegaConf.create({"hydra": HydraConf(mode=RunMode.MULTIRUN), "name": "here"})
    with open_dict(config):
        config.hydra.sweep.dir = folder
        config.hydra.update(hydra)
    return config


@pytest.mark.parametrize(
    ("direction", "told"),
    [
        ("maximise", "there is no 'maximise'. Did you mean 'maximize'? There are: maximize and"),
        (["maximize", "minimize", "minimize"], "a run has a score and a cost, and 3 directions"),
        ([], "a run has a score and a cost, and 0 directions are given. Write maximize"),
    ],
    ids=str,
)
def test_what_a_sweeper_cannot_aim_at_is_refused(direction: object, told: str) -> None:
    config = sweep({"sweeper": {"direction": direction}})
    with pytest.raises(SystemExit) as refused:
        Engines().on_multirun_start(config)
    assert str(refused.value).startswith(f"hydra.sweeper.direction: {told}")


def test_a_cluster_that_is_not_there_is_refused() -> None:
    with closing(socket.socket()) as one:
        one.bind(("127.0.0.1", 0))  # and does not listen
        address = f"127.0.0.1:{one.getsockname()[1]}"
        config = sweep({"launcher": {"ray": {"init": {"address": address}}}})
        with pytest.raises(SystemExit) as refused:
            Engines().on_multirun_start(config)
    told = f"hydra.launcher.ray.init.address={address}: nothing answers there (Connection refused)."
    assert str(refused.value).startswith(told)


def test_the_directory_of_a_sweep_is_absolute_for_all_jobs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it refers to is still to be resolved, in each job by itself."""
    monkeypatch.chdir(tmp_path)
    config = sweep({}, "all of/${name}")
    Engines().on_multirun_start(config)
    assert config.hydra.sweep.dir == f"{tmp_path}/all of/here"
    word = f'hydra.sweep.dir="{tmp_path}/all of/${{name}}"'
    assert OmegaConf.to_container(config.hydra.overrides.hydra, resolve=False) == [word]
    kept = sweep({})
    Engines().on_multirun_start(kept)
    assert kept.hydra.sweep.dir == "/all"
    assert kept.hydra.overrides.hydra == []


RECORD = {
    "scores": {"train": {"final": None}, "validation": {"final": {"mean": 0.5}}},
    "cost": {"forward": 0.25, "backward": 0.5},
}


@pytest.mark.parametrize(
    ("direction", "brought"),
    [(None, 0.5), ("maximize", 0.5), (["maximize"], 0.5), (["maximize", "minimize"], (0.5, 0.75))],
    ids=str,
)
def test_a_job_brings_its_score_and_where_it_is_wanted_its_cost(
    direction: object, brought: object
) -> None:
    with hydra_config(sweep({"sweeper": {"direction": direction}})):
        assert optimize._objective(RECORD) == brought
        if direction:
            with pytest.raises(ConfigError, match="The sweeper has no score to go by"):
                optimize._objective({"scores": {}, "cost": {}})


def test_the_preset_of_optuna_aims_at_the_best_score_with_a_seed_and_on_request_at_two(
    tmp_path: Path,
) -> None:
    folder = conf_folder() / "hydra" / "sweeper"
    preset = cast(DictConfig, OmegaConf.load(folder / "optuna.yaml"))
    assert preset.direction == "maximize"
    for name in (preset.defaults[0].sampler, "random"):
        assert isinstance(OmegaConf.load(folder / "sampler" / f"{name}.yaml").seed, int)
    told = (folder / "optuna.yaml").read_text()
    words = re.findall(r"'hydra\.sweeper\.(direction=.*)'", told)
    assert words == ["direction=[maximize,minimize]"]
    wanted = OmegaConf.merge(preset, OmegaConf.from_dotlist(words))
    for sweeper, brought in ((preset, 0.5), (wanted, (0.5, 0.75))):
        config = sweep({"sweeper": {"direction": sweeper.direction}}, str(tmp_path))
        Engines().on_multirun_start(config)
        with hydra_config(config):
            assert optimize._objective(RECORD) == brought


def test_a_cost_that_nobody_knows_is_told_and_is_only_optimizes_to_aim_at() -> None:
    both = {"sweeper": {"direction": ["maximize", "minimize"]}}
    with hydra_config(sweep(both)):
        with pytest.raises(ConfigError) as unknown:
            optimize._objective({**RECORD, "cost": {"forward": 0.25, "backward": None}})
        with pytest.raises(ConfigError, match="and evaluate has one number") as other:
            optimize.run_evaluate({})
    assert str(unknown.value).startswith(
        "The sweeper wants the cost, and that of backward is not known: a reply came without"
    )
    assert "hydra.sweeper.direction=maximize" in str(other.value)
    with hydra_config(sweep({"sweeper": {"direction": "maximize"}})):
        assert optimize._objective({**RECORD, "cost": {"forward": None}}) == 0.5


def test_a_job_that_does_not_find_the_project_is_refused(tmp_path: Path) -> None:
    check_reached(tmp_path)
    with pytest.raises(ConfigError) as refused:
        check_reached(tmp_path / "gone")
    assert str(refused.value).startswith(f"The command was given in {tmp_path}/gone, which is not")


@pytest.mark.timeout(600)
def test_jobs_that_begin_elsewhere_find_all_that_is_the_projects(tmp_path: Path) -> None:
    """Templates, modules and files; and what they leave stands in the project, too."""
    home, begun = tmp_path / "project", tmp_path / "begun"
    files = {
        "conf/graph/mine.yaml": (
            "name: mine\ninputs: [order, question]\noutput: say\nnodes:\n"
            "  note: {predecessors: [question], forward: {_target_: my_tools.note}}\n"
            "  say: {predecessors: [note, order], parameters: {instruction: Say it.}}\n"
        ),
        "prompts/forward/node.jinja": (
            '{# The own one. #}\n{% extends "sgdflow/forward/node.jinja" %}\n'
            "{% block user %}Mine: {{ super() }}{% endblock %}"
        ),
        "my_tools.py": "def note(question):\n    return f'noted {question}'\n",
        "plugins/hydra_plugins/elsewhere.py": ELSEWHERE,
    }
    for name, text in files.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text)
    begun.mkdir()
    path = os.pathsep.join((str(ROOT), str(home / "plugins")))
    words = ["-m", f"--project={home}", "graph=mine", *SMALL, "seed=0,1", "method.stop.steps=1"]
    words += ["hydra/launcher=elsewhere", "hydra.sweep.dir=all"]
    ended = subprocess.run(
        [sys.executable, "-m", "sgdflow", "optimize", *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path, "BEGUN_IN": str(begun)},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert ended.returncode == 0, ended.stderr + ended.stdout
    assert list(begun.iterdir()) == []
    for job in ("0", "1"):
        assert (home / "all" / job / "result.json").is_file()
        said = json.dumps(read_steps(home / "all" / job / "calls.jsonl")[0])
        assert "Mine: " in said
        assert "noted " in said
