"""Comparing what a real store holds, as the command does."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sgdflow.cli.browse import compare
from sgdflow.comparison import write_jobs
from sgdflow.errors import ConfigError
from sgdflow.tracking.client import prepare, start_run
from sgdflow.tracking.mlflow import MlflowTracker
from sgdflow.tracking.multirun import end_parent
from sgdflow.tracking.reading import RunReader, Selection
from sgdflow.tracking.store import sqlite_uri

EXPERIMENT = "compared"


def summary(mean: float) -> dict[str, Any]:
    return {"mean": mean, "n": 10, "low": mean - 0.1, "high": mean + 0.1, "failed": 0}


def step(number: int, train: float) -> dict[str, Any]:
    return {
        "step": number,
        "scores": {"train": summary(0.1), "candidate": summary(train), "validation": None},
        "accepted": True,
        "reason": "better",
        "sampled": [],
        "proposal": {},
        "skipped": {},
        "calls": {"forward": 30, "backward": 2},
        "tokens": {"forward": {"prompt": 10, "completion": 5}},
        "malformed": 0,
    }


def result(test: float) -> dict[str, Any]:
    none = {"initial": None, "final": None}
    return {
        "scores": {
            "train": none,
            "validation": none,
            "test": {"initial": summary(0.1), "final": summary(test)},
        },
        "calls": {"forward": 100, "backward": 4},
        "tokens": {"forward": {"prompt": 20, "completion": 10}},
        "cost": {"forward": 0.25, "backward": None},
        "steps": 2,
        "accepted": 2,
        "stop_reason": "steps: all 2 were taken",
        "seconds": 1.5,
    }


def record(uri: str, parent: str | None, method: str, seed: int, test: float | None) -> None:
    tracker = MlflowTracker(uri, EXPERIMENT, parent)
    config = {"method": {"name": method, "long": "x" * 7000}, "seed": seed}
    config |= {"task": {"name": "tariff"}, "graph": {"name": "tariff"}, "llm": {"name": "none"}}
    tracker.started(f"{method}-{seed}", config, {"sgdflow.method": method}, {})
    tracker.scored("initial", {"train": summary(0.1)})
    tracker.stepped(step(1, 0.4), {})
    if test is None:
        tracker.failed("CallFailed: no answer\nfrom the model")
        return
    tracker.stepped(step(2, 0.4 + test / 2), {})
    tracker.finished(result(test), Path("nowhere"))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two multiruns and a single run; the second multirun has a failed job."""
    uri = sqlite_uri(tmp_path_factory.mktemp("compared") / "runs.db")
    experiment = prepare(uri, EXPERIMENT)
    about = {"sgdflow.kind": "multirun"}
    first = start_run(uri, experiment, "methods over seed", about).id
    record(uri, first, "semantic", 0, 0.5)
    end_parent(uri, first, True, partial(write_jobs, uri, first))
    record(uri, None, "alone", 0, 0.3)
    second = start_run(uri, experiment, "methods over method, seed", about).id
    for seed in (0, 1):
        record(uri, second, "semantic", seed, 1.0 - seed / 10)
        record(uri, second, "copro", seed, 0.6)
    record(uri, second, "copro", 2, None)
    end_parent(uri, second, False, partial(write_jobs, uri, second))
    return uri


def test_which_runs_are_read(store: str) -> None:
    reader = RunReader(store)
    latest = reader.group(Selection())
    assert latest.title.startswith("The latest multirun, 'methods over method, seed' (")
    names = ["semantic-0", "copro-0", "semantic-1", "copro-1", "copro-2"]
    assert [run.name for run in latest.runs] == names
    earlier = reader.group(Selection(parent="methods over seed"))
    assert [run.name for run in earlier.runs] == ["semantic-0"]
    number = earlier.title.split("(")[1][:8]
    assert reader.group(Selection(parent=number)) == earlier
    everything = reader.group(Selection(experiment=EXPERIMENT))
    assert len(everything.runs) == 7
    where = "params.`method.name` = 'alone' and params.seed = '0'"
    found = reader.group(Selection(experiment=EXPERIMENT, where=where))
    assert found.title == f"Experiment '{EXPERIMENT}', runs where {where}"
    assert [run.name for run in found.runs] == ["alone-0"]
    failed = latest.runs[-1]
    assert (failed.status, failed.params["method.name"]) == ("FAILED", "copro")
    assert reader.progress(latest.runs[0], "train") == {
        "score/train": ((0, 0.1), (1, 0.4), (2, 0.9)),
        "spent_calls/forward": ((1, 30.0), (2, 60.0)),
        "spent_calls/backward": ((1, 2.0), (2, 4.0)),
    }


def test_the_command_prints_and_writes(
    store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "table"
    words = ["rows=method", "against=copro", "reach=0.9", f"out={folder}"]
    assert compare([*words, f"tracking.uri={store}"]) == 0
    title, text = capsys.readouterr().out.split("\n", 1)
    assert title.endswith("): 4 of 5 runs")
    number = RunReader(store).group(Selection()).runs[-1].id[:8]
    expected = f"""
Scores and spending
method.name  test score                forward calls  backward calls  tokens  cost     seconds  calls to 0.9
-----------  ------------------------  -------------  --------------  ------  -------  -------  --------------
semantic     0.950 (0.31 to 1.00) n=2  100            4               30      unknown  1.5      never (1 of 2)
copro        0.600 (all equal) n=2     100            4               30      unknown  1.5      never (2 of 2)
  Scores: mean over seeds, 95 % interval, n seeds. The rest: means per run.
  Calls to 0.9: calls of all roles in the steps (without the scoring before the first) until the
  train score first reached it; the median over runs, where never is later than any number.

Against copro, paired
method.name  difference               pairs  unpaired  p       p (Holm)
-----------  -----------------------  -----  --------  ------  --------
semantic     +0.350 (-0.29 to +0.99)  2      0         0.5000  0.5000
  Mean of row minus copro over pairs with the same seed; 95 % interval; two-sided sign-flip
  permutation test, corrected for the number of rows (Holm).
  2 pairs cannot give a p below 0.5, however large the difference: more seeds are needed.

1 run is not counted
  copro-2 ({number}) failed: CallFailed: no answer from the model
{folder}/compare.md
{folder}/cells.csv
{folder}/runs.csv
{folder}/differences.csv
{folder}/compare.svg
{folder}/compare.html
"""  # noqa: E501
    assert text == expected


def test_the_command_line_imports_no_litellm(store: str) -> None:
    code = (
        "import sys, sgdflow.cli.main; code = sgdflow.cli.main.main();"
        "heavy = {'litellm', 'matplotlib'} & set(sys.modules); sys.exit(code or bool(heavy))"
    )
    command = [sys.executable, "-c", code, "compare", f"tracking.uri={store}"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "semantic     0.950" in ran.stdout
    command[-1] = "parent=nothing"
    ran = subprocess.run([*command, f"tracking.uri={store}"], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith("parent=nothing: no multirun has this name or id.")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["parent=methods over sed"], "Did you mean 'methods over seed'?"),
        (["experiment=compare"], "Did you mean 'compared'? There are: compared"),
        (["experiment=Default"], "No runs match in sqlite:///"),
        (["where=seed"], "no filter that MLflow understands (Invalid clause(s)"),
        (["where=params.seed = '9'"], "No runs match"),
        (["where=params.`method.name` = 'alone'", "reach=2"], "reach=2 is not a score"),
        (["tracking.uri=sqlite:////nowhere/runs.db"], "There are no runs at /nowhere/runs.db"),
        (["tracking.uri=runs.db"], "is not the address of an MLflow store"),
        (["tracking.urn=x"], "tracking.urn: there is no such key. Did you mean 'tracking.uri'?"),
        (["tracking=none"], "nothing to compare"),
    ],
)
def test_mistakes_are_explained(store: str, words: list[str], said: str) -> None:
    uri = [] if any(word.startswith("tracking") for word in words) else [f"tracking.uri={store}"]
    with pytest.raises(ConfigError) as caught:
        compare([*words, *uri])
    assert said in str(caught.value)


def test_reading_makes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="There are no runs at"):
        compare([])
    assert list(tmp_path.iterdir()) == []
    with sqlite3.connect(tmp_path / "mlflow.db") as other:
        other.execute("create table mine (x int)")
    other.close()
    with pytest.raises(ConfigError, match="is a database without MLflow runs"):
        compare([])
    with sqlite3.connect(tmp_path / "mlflow.db") as other:
        assert other.execute("select name from sqlite_master").fetchall() == [("mine",)]
    other.close()
    (tmp_path / "mlflow.db").write_text("no database " * 50)
    with pytest.raises(ConfigError, match=r"MLflow cannot read runs in .*not a database"):
        compare([])


def test_a_store_without_multiruns(store: str, tmp_path: Path) -> None:
    file = tmp_path / "copy.db"
    shutil.copy(store.removeprefix("sqlite:///"), file)
    with sqlite3.connect(file) as opened:
        opened.execute("delete from tags where key = 'sgdflow.kind'")
    opened.close()
    with pytest.raises(ConfigError, match=r"There is no multirun in .* experiment=NAME"):
        compare([f"tracking.uri={sqlite_uri(file)}"])
