"""Two machines, which share nothing but a database: what they ask is paid once."""

from __future__ import annotations

from pathlib import Path
from subprocess import PIPE

import clusters
import pytest
from started import left_behind, served, start

WORDS = ["optimize", "llm=vllm", "llm.endpoint=simulated", "llm.check=false", "method.stop.steps=1"]
WORDS += ["task.splits.train=8", "task.splits.validation=4", "task.splits.test=4", "tracking=none"]
pytestmark = pytest.mark.timeout(600)


def test_two_machines_with_one_database_pay_once(tmp_path: Path) -> None:
    """Each in a folder of its own; the password of the address is written nowhere."""
    with clusters.postgres() as uri, served(0.3) as (address, requests):
        said = uri.replace("sgdflow@", "sgdflow:unwritten@")
        words = [*WORDS, f"llm.api_base={address}", f"llm.store.uri={said}", "hydra.run.dir=run"]
        started = []
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            started.append(start(tmp_path / name, *words, text=True, stdout=PIPE, stderr=PIPE))
        for process in started:
            out, err = process.communicate(timeout=500)
            assert process.returncode == 0, f"{out}\n{err}"
            assert "unwritten" not in out + err
    assert len(requests) > 50
    assert len(requests) == len(set(requests))
    left = {path.name for path in (tmp_path / "one").iterdir()}
    assert left == {"run"}
    assert left_behind(tmp_path / "one" / "run") == left_behind(tmp_path / "two" / "run")
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path for path in written if b"unwritten" in path.read_bytes()]
