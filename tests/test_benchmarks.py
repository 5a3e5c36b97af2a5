"""The benchmarks do the job that they measure."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from measure import serving

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.mark.parametrize(
    ("words", "calls"),
    [
        (["peer_jobs/sgdflow_job.py"], 101),
        (["peer_jobs/floor_job.py"], 101),
        (["step.py", "--url"], 101 + 64),  # the new texts are scored when the clock has stopped
    ],
)
def test_the_small_step_takes_its_calls(words: list[str], calls: int, tmp_path: Path) -> None:
    with serving(0.1) as served:
        script, *options = words
        command = [sys.executable, str(BENCHMARKS / script), *options, served.url]
        run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (run.returncode, run.stderr) == (0, "")
    assert json.loads(run.stdout)["wall"] >= 0.4
    assert served.seen["requests"] == calls
    assert not any(tmp_path.iterdir())
