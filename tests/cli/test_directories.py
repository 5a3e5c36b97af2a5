"""Directories of runs and sweeps: one start at a time, and nothing left of what was refused."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from forks import forked

from sgdflow.records.owner import LOCK, owned

SMALL = ["tracking=none", "method.stop.steps=0"]
SMALL += [f"task.splits.{split}=2" for split in ("train", "validation", "test")]
WRONG = "split: input should be 'train', 'validation' or 'test' (got '{}'). Did you mean '{}'?"


def start(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    root = str(Path(__file__).resolve().parents[2])
    return forked(folder, *words, environment={**os.environ, "PYTHONPATH": root})


def below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.mark.parametrize(
    "words",
    [
        ["optimize"],
        ["optimize", "hydra.run.dir=kept/new/run"],
        ["optimize", "hydra.run.dir=kept"],
        ["evaluate"],
        ["optimize", "-m", "seed=0,1"],
        ["optimize", "-m", "seed=0,1", "hydra.sweep.dir=kept/new/sweep"],
        ["optimize", "-m", "seed=0,1", "hydra.sweep.subdir=${seed}/of/it"],
        ["plan"],
        ["graph", "-m", "graph=hints,single", "task=gsm8k"],
    ],
    ids=" ".join,
)
def test_nothing_is_left_of_a_configuration_that_is_refused(
    words: list[str], tmp_path: Path
) -> None:
    (tmp_path / "kept").mkdir()
    ended = start(tmp_path, *words, *SMALL, "split=tset")
    assert ended.returncode == 1
    # Hydra writes into a directory that was there, and whose content is its owner's business.
    new = {path for path in below(tmp_path) - {"kept"} if not path.startswith("kept/.hydra")}
    assert new - {"kept/sgdflow.log"} == set()
    assert (ended.stderr + ended.stdout).count("(got 'tset')") == 1


@pytest.mark.parametrize("mode", [[], ["-m", "seed=0,1"]], ids=["run", "sweep"])
def test_a_store_that_cannot_be_used_leaves_nothing_either(mode: list[str], tmp_path: Path) -> None:
    words = ["tracking=mlflow", "tracking.uri=sqlite:///file/runs.db"]
    (tmp_path / "file").write_text("no folder")
    ended = start(tmp_path, "optimize", *mode, *SMALL, *words)
    assert ended.returncode == 1
    assert "MLflow cannot record runs in tracking.uri=" in ended.stderr
    assert below(tmp_path) == {"file"}


def test_a_mistake_of_all_jobs_is_told_once_and_each_other_one_by_itself(tmp_path: Path) -> None:
    words = ["optimize", "-m", *SMALL, "hydra.sweep.dir=sweep"]
    ended = start(tmp_path, *words, "seed=0,1", "split=test,tset,trian")
    assert ended.returncode == 1
    lines = [line for line in ended.stdout.splitlines() if line.startswith("job ")]
    assert lines == [
        f"job 1: {WRONG.format('tset', 'test')}",
        f"job 2: {WRONG.format('trian', 'train')}",
        "job 4: the same as job 1",
        "job 5: the same as job 2",
    ]
    assert ended.stderr.splitlines()[-1] == (
        "4 jobs (1, 2, 4, 5) failed; why is said above. "
        "To go on once that is mended: the same command with hydra.sweep.dir=sweep"
    )
    assert {path.name for path in (tmp_path / "sweep").iterdir() if path.is_dir()} == {"0", "3"}
    assert json.loads((tmp_path / "sweep" / "3" / "result.json").read_text())["seed"] == 1


@pytest.mark.parametrize("word", ["method=glob(zzz*)", "seed=range(0)"])
def test_a_sweep_over_nothing_is_told_and_no_good_end(word: str, tmp_path: Path) -> None:
    ended = start(tmp_path, "evaluate", "-m", *SMALL, word)
    told = f"{word}: stands for no value at all, so that there is nothing to run.\n"
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", told)
    assert below(tmp_path) == set()
    planned = start(tmp_path, "plan", "-m", *SMALL, word)
    assert (planned.returncode, planned.stdout, planned.stderr) == (1, "", told)


@pytest.mark.parametrize("command", ["optimize", "evaluate"])
def test_a_directory_in_use_is_refused_before_anything_is_written(
    command: str, tmp_path: Path
) -> None:
    with owned(tmp_path / "run"):
        before = below(tmp_path)
        ended = start(tmp_path, command, *SMALL, "hydra.run.dir=run")
        assert below(tmp_path) == before
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"run is in use by process {os.getpid()} of ")
    assert len(ended.stderr.splitlines()) == 1
    assert start(tmp_path, command, *SMALL, "hydra.run.dir=run").returncode == 0


def test_a_sweep_in_use_is_refused_as_a_whole_and_a_job_in_use_alone(tmp_path: Path) -> None:
    sweep, words = (
        tmp_path / "sweep",
        ["optimize", "-m", *SMALL, "seed=0,1", "hydra.sweep.dir=sweep"],
    )
    with owned(sweep):
        ended = start(tmp_path, *words)
        assert below(tmp_path) == {"sweep", f"sweep/{LOCK}", "sweep/owner.json"}
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"{sweep} is in use by process {os.getpid()} of ")
    with owned(sweep / "0"):
        ended = start(tmp_path, *words)
    assert ended.returncode == 1
    assert f"job 0: {sweep / '0'} is in use by process {os.getpid()} of " in ended.stdout
    assert not (sweep / "0" / "config.yaml").exists()
    assert (sweep / "1" / "result.json").is_file()
    again = start(tmp_path, *words)
    assert again.returncode == 0
    assert f"{sweep / '1'} holds this run, finished: nothing to do." in again.stdout
    assert (sweep / "0" / "result.json").is_file()
    # Of the locks nothing is left that speaks of an owner.
    assert not [path for path in below(tmp_path) if path.endswith("owner.json")]


def test_a_name_that_is_too_long_for_a_directory_is_told(tmp_path: Path) -> None:
    long = "Look at it. " * 30
    words = ["hydra.sweep.subdir=${task.name}", f"task.name='short','{long}'"]
    ended = start(tmp_path, "optimize", "-m", *SMALL, *words, "hydra.sweep.dir=sweep")
    assert ended.returncode == 1
    assert ended.stderr == (
        f"The name of a directory is too long for the disk: 360 letters, sweep/{long[:94]}... "
        "Set hydra.run.dir, or with -m hydra.sweep.subdir='${hydra.job.num}'.\n"
    )


def test_a_job_that_works_elsewhere_finds_what_stands_where_the_command_was_given(
    tmp_path: Path,
) -> None:
    """Templates, modules, data and parameters: a job's own directory holds none of them."""
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "own.jinja").write_text(
        "OWN {{ question }} {{ parameters.instruction }}"
    )
    (tmp_path / "mine.py").write_text(
        "from pathlib import Path\n\ndef note(x):\n"
        "    with Path('note.txt').open('a') as file:\n        file.write(x)\n    return x\n"
    )
    rows = "".join(f"q{i},a{i}\n" for i in range(9))
    (tmp_path / "qa.csv").write_text(f"question,answer\n{rows}")
    (tmp_path / "start.yaml").write_text("answer.instruction: Started elsewhere.\n")
    (tmp_path / "conf" / "graph").mkdir(parents=True)
    (tmp_path / "conf" / "graph" / "mine.yaml").write_text(
        "name: mine\ninputs: [question]\nforward: {prompt: own.jinja}\nnodes:\n"
        "  answer: {predecessors: [question], parameters: {instruction: Answer.}}\n"
        "  noted: {predecessors: [answer], forward: {_target_: mine.note}}\noutput: noted\n"
    )
    words = ["--config-dir", "conf", "graph=mine", "task=table", "task.path=qa.csv"]
    words += ["task.inputs=[question]", "task.target=answer", "parameters=start.yaml"]
    words += ["hydra.job.chdir=true", *SMALL, "task.splits.train=1", "task.splits.validation=0"]
    words += ["task.splits.test=1"]
    ended = start(tmp_path, "optimize", "-m", *words, "seed=0,1", "hydra.sweep.dir=sweep")
    assert ended.returncode == 0, ended.stderr
    for job in ("0", "1"):
        held = (tmp_path / "sweep" / job / "parameters.yaml").read_text()
        assert held == "answer.instruction: Started elsewhere.\n"
        # What the user's own code writes lands in the job's directory, as it was asked for.
        assert (tmp_path / "sweep" / job / "note.txt").is_file()
    assert not (tmp_path / "note.txt").exists()
    assert start(tmp_path, "plan", *words).returncode == 0
    assert start(tmp_path, "graph", *words).returncode == 0
