"""A finished run that goes further, and evaluations that are recorded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import Start

from sgdflow.errors import ConfigError
from sgdflow.records.resume import check
from sgdflow.tracking.client import client
from sgdflow.tracking.reading import RunReader, Selection

SMALL = ["graph=desk", "task.splits={train: 12, validation: 4, test: 6}", "method.sample.count=4"]


def lines(folder: Path) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in (folder / "steps.jsonl").read_text().splitlines()]
    return [{k: v for k, v in one.items() if k not in ("seconds", "time")} for one in found]


@pytest.mark.timeout(300)
def test_a_finished_run_goes_further_in_its_directory(tmp_path: Path, at: Start) -> None:
    words = ["optimize", *SMALL, "tracking=none", "method.stop.patience=null"]
    assert at(tmp_path, *words, "method.stop.steps=4", "hydra.run.dir=whole")[0] == 0
    assert at(tmp_path, *words, "method.stop.steps=2", "hydra.run.dir=run")[0] == 0
    begun = lines(tmp_path / "run")
    code, out, err = at(tmp_path, *words, "method.stop.steps=4", "hydra.run.dir=run")
    assert code == 0, err
    assert "run holds this run, finished after 2 steps: going on from there." in out
    assert lines(tmp_path / "run")[:2] == begun
    assert lines(tmp_path / "run") == lines(tmp_path / "whole")
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert result["steps"] == 4
    assert json.loads((tmp_path / "run/result_2.json").read_text())["steps"] == 2
    parameters = [(tmp_path / one / "parameters.yaml").read_text() for one in ("run", "whole")]
    assert parameters[0] == parameters[1]
    # Fewer steps would throw away what is there.
    code, _, err = at(tmp_path, *words, "method.stop.steps=3", "hydra.run.dir=run")
    assert (code, "method.stop.steps: 4 there, 3 here\n" in err) == (1, True)
    assert json.loads((tmp_path / "run/result.json").read_text())["steps"] == 4


@pytest.mark.parametrize(
    ("here", "told"),
    [
        ({"stop": {"steps": 20, "patience": 3}}, None),
        ({"stop": {"steps": 20, "patience": None}}, None),
        ({"stop": {"steps": 20, "patience": 2}}, "method.stop.patience: 3 there, 2 here\n"),
        (
            {"gate": {"rule": "paired"}, "stop": {"steps": 20, "patience": 3}},
            "method.stop.steps: 10 there, 20 here, and method.gate.rule=paired has shared its "
            "level among all steps\n",
        ),
        (
            {"stop": {"steps": 20, "patience": 3}, "store": "off"},
            "method.stop.steps: 10 there, 20 here, and without llm.store.mode=use all steps so far "
            "would be paid again\n",
        ),
    ],
    ids=["steps", "patience", "less patience", "paired", "no store"],
)
def test_what_may_be_more_and_what_not(
    here: dict[str, Any], told: str | None, tmp_path: Path
) -> None:
    def config(stop: dict[str, Any], gate: Any = None, store: str = "use") -> dict[str, Any]:
        llm = {"models": {"forward": "openai/small"}, "store": {"mode": store}}
        return {"method": {"stop": stop, "gate": gate or {"rule": "strict"}}, "llm": llm}

    there = config({"steps": 10, "patience": 3}, here.get("gate"))
    (tmp_path / "config.yaml").write_text(json.dumps(there))
    if told is None:
        check(tmp_path, config(**here))
        return
    with pytest.raises(ConfigError) as refused:
        check(tmp_path, config(**here))
    assert told in str(refused.value)


@pytest.mark.timeout(300)
def test_an_evaluation_is_recorded_beside_runs(tmp_path: Path, at: Start) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    words = [*SMALL, "split=validation", "tracking=mlflow", "hydra.run.dir=scored"]
    code, _, err = at(tmp_path, "evaluate", *words)
    assert code == 0, err
    scored = json.loads((tmp_path / "scored/evaluation.json").read_text())
    run_id = json.loads((tmp_path / "scored/mlflow.json").read_text())["run_id"]
    run = client(uri).get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.metrics["score_final/validation"] == scored["score"]["mean"]
    assert run.data.metrics["total/examples_validation"] == 4
    assert "total/steps" not in run.data.metrics
    assert run.data.params["graph.name"] == "desk"
    assert run.data.tags["sgdflow.kind"] == "evaluation"
    assert {one.path for one in client(uri).list_artifacts(run_id)} >= {
        "config.yaml",
        "evaluation.json",
    }
    # A table of optimisations has no use for it.
    with pytest.raises(ConfigError, match="No runs match"):
        RunReader(uri).group(Selection(experiment="sgdflow"))
