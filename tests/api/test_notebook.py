"""docs/notebook.ipynb: from a dictionary, a list and a function to an optimised graph."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient
from notebooks import Kernel, executed

PAGE = Path(__file__).resolve().parents[2] / "docs" / "notebook.ipynb"


@pytest.mark.usefixtures("unread")
def test_the_notebook_optimises_shows_how_and_leaves_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sgdflow.terminal.python._PAUSE", 0.01)
    kernel = Kernel()
    for name, module in kernel.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    names, values = executed(PAGE)
    result = names["result"]
    before, after = result.initial.test, result.final.test
    assert before.mean < 0.5 < 0.9 < after.mean
    assert values[-2] == "54"
    assert {"report.html", "result.json", "steps.jsonl"} <= set(values[-1])
    assert result.directory.parent.parent == tmp_path / "outputs"
    [shown] = kernel.displays
    assert any(re.search(r"step \d of at most 8", text) for text in shown.drawn)
    assert "step 1: accepted" in shown.drawn[-1]
    assert "of at most" not in shown.drawn[-1]
    assert "<ins" in result._repr_html_()
    assert capsys.readouterr() == ("", "")
    store = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    [run] = store.search_runs([one.experiment_id for one in store.search_experiments()])
    assert run.info.status == "FINISHED"
    assert run.data.tags["sgdflow.task"] == "orders"
