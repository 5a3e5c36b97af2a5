"""docs/tutorial.md, followed word for word in an empty folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import Start
from followed import follow

PAGE = Path(__file__).resolve().parents[1] / "docs" / "tutorial.md"


@pytest.mark.timeout(600)
def test_the_tutorial_ends_in_a_graph_that_has_learned(tmp_path: Path, at: Start) -> None:
    followed = follow(PAGE, tmp_path, at)
    wanted = {"graph", "check", "optimize", "show", "evaluate", "predict"}
    assert wanted <= {*followed.commands}
    kinds = [name.rpartition(".")[2] for name in followed.files]
    assert kinds == ["py", "py", "yaml", "yaml", "jinja", "yaml"]
    here = followed.here
    scores = json.loads((here / "runs/first/result.json").read_text())["scores"]["test"]
    assert scores["initial"]["mean"] < 0.4
    assert scores["final"]["mean"] > 0.9
    jobs = [json.loads((here / f"runs/samples/{n}/result.json").read_text()) for n in (0, 1)]
    assert all(job["graph"] == "parcels" for job in jobs)
