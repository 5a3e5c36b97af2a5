"""Runs whose examples other processes score: all is as in one process."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sgdflow.api import Flow
from sgdflow.config import schema
from sgdflow.config.workers import problems
from sgdflow.errors import ConfigError
from sgdflow.llm.database import Replies
from sgdflow.llm.models import ModelSpec
from sgdflow.simulation.server import create_app, running
from sgdflow.simulation.worlds import reply

ROOT = Path(__file__).resolve().parents[2]
FILES = ("parameters.yaml", "steps.jsonl", "examples.jsonl", "calls.jsonl")
SMALL = ["tracking=none", "task.splits.train=12", "task.splits.validation=6", "task.splits.test=6"]
SMALL += ["method.stop.steps=2"]
GRAPH = """
inputs: [order]
nodes:
  desk: {predecessors: [order], forward: {_target_: mine.desk}}
output: desk
"""
MINE = """
import os
from pathlib import Path

def desk(order):
    if Path("fatal").exists():
        Path("fatal").unlink()
        os.kill(os.getpid(), 9)
    print("this is no answer")
    return str(len(order))

def score(output, target):
    if Path("wrong").exists():
        raise ValueError("no such length")
    return 0.5
"""
pytestmark = pytest.mark.timeout(600)


def run(folder: Path, *words: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "sgdflow", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout + done.stderr


def results(folder: Path, name: str = "result.json") -> dict[str, Any]:
    found: dict[str, Any] = {one: (folder / one).read_bytes() for one in FILES if name[0] == "r"}
    result = json.loads((folder / name).read_text())
    return {**found, name: {key: value for key, value in result.items() if key != "seconds"}}


def test_two_workers_bring_what_one_process_brings(tmp_path: Path) -> None:
    """Over HTTP, where each asks for itself: no request is sent twice, and spending is the same."""
    asked: list[int] = []

    async def main() -> list[tuple[int, str]]:
        def counted(*said: Any) -> Any:
            asked.append(1)
            return reply(*said)

        ended = []
        async with running(create_app(counted, latency=0.02)) as url:
            words = ["optimize", *SMALL, "llm=vllm", "llm.endpoint=it", f"llm.api_base={url}"]
            for name, more in (("one", []), ("two", ["workers.count=2"]), ("two", [])):
                store = [f"llm.store.path={name}.db", "llm.check=false", f"hydra.run.dir={name}"]
                ended.append(await asyncio.to_thread(run, tmp_path, *words, *store, *more))
                asked.append(0)
        return ended

    ended = asyncio.run(main())
    assert [code for code, _ in ended] == [0, 0, 0], ended
    assert results(tmp_path / "two") == results(tmp_path / "one")
    one, two, again = (len(part) for part in "".join(map(str, asked)).split("0")[:3])
    assert one == two > 50
    assert again == 0
    with closing(Replies(tmp_path / "two.db")) as replies:
        assert replies.count() == two
    sent = [line for line in ended[1][1].splitlines() if line.startswith("  sent ")]
    assert sent[0].startswith(f"  sent        {two} calls (")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "conf" / "graph").mkdir(parents=True)
    (tmp_path / "conf" / "graph" / "mine.yaml").write_text(f"name: mine{GRAPH}")
    (tmp_path / "mine.py").write_text(MINE)
    return tmp_path


EVALUATE = ["evaluate", "graph=mine", "tracking=none", "llm.limits.first=null"]
EVALUATE += ["task.splits.test=12", "method.stop.steps=0"]


def test_a_worker_that_ends_is_replaced(project: Path) -> None:
    code, said = run(project, *EVALUATE, "hydra.run.dir=one")
    assert code == 0, said
    (project / "fatal").touch()
    code, said = run(project, *EVALUATE, "hydra.run.dir=two", "workers.count=2")
    assert code == 0, said
    assert "A worker has ended by itself (process " in said
    assert results(project / "two", "evaluation.json") == results(
        project / "one", "evaluation.json"
    )


def test_what_goes_wrong_in_a_worker_is_said_as_in_one_process(project: Path) -> None:
    (project / "wrong").touch()
    words = [*EVALUATE, "task.score={_target_:mine.score}"]
    (alone, said), (shared, told) = (
        run(project, *words, f"hydra.run.dir={name}", f"workers.count={count}")
        for name, count in (("one", 0), ("two", 2))
    )
    assert alone == shared == 1
    assert re.search(r"task\.score: .*: no such length\. Mend the scorer", said)
    place = re.compile(r"task\.score: [^:]*:")
    lines = [sorted(set(place.sub("", text).splitlines())) for text in (said, told)]
    assert lines[0] == [line.replace("two", "one") for line in lines[1]]


def test_python_objects_stay_in_their_process(tmp_path: Path) -> None:
    graph = {"inputs": ["q"], "nodes": {"a": {"predecessors": ["q"], "forward": len}}}
    flow = Flow(
        "llm=simulated",
        "workers.count=2",
        "method.stop.steps=0",
        graph={**graph, "output": "a"},
        working=tmp_path,
        examples=[{"q": "x" * n, "target": n} for n in range(1, 9)],
    )
    with pytest.raises(ConfigError, match=r"workers\.count=2: graph\.nodes\.a\.forward"):
        flow.evaluate("train")


BUDGET = {"budget": {"calls": 5}}


@pytest.mark.parametrize(
    ("workers", "llm", "told"),
    [
        ({"count": 0}, {"limits": BUDGET, "store": {"mode": "off"}}, []),
        ({"count": 2}, {"limits": {**BUDGET, "shared": True}}, []),
        (
            {"count": 2},
            {"limits": BUDGET},
            [
                "workers.count=2: each worker would have llm.limits.budget.calls for itself. Set "
                "llm.limits.shared=true, or workers.count=0."
            ],
        ),
        (
            {"count": 2},
            {"store": {"mode": "off"}},
            [
                "workers.count=2: workers share replies in the store, and llm.store.mode is off, "
                "so that each would pay for itself. Set llm.store.mode=use, or workers.count=0."
            ],
        ),
        (
            {"count": 3},
            {"limits": {"roles": {"judge": {"tokens_per_minute": 9}}}},
            [
                "workers.count=3: rates of a role (llm.limits.roles.judge) are not shared by "
                "workers. Declare them for all, with llm.limits.shared=true, or set "
                "workers.count=0."
            ],
        ),
        (
            {"count": 1, "address": "head:6379"},
            {},
            [
                "workers.address=head:6379 is that of a Ray cluster. Set workers.where=ray, or "
                "workers.address=null."
            ],
        ),
    ],
)
def test_what_workers_cannot_keep_to_is_refused(
    workers: Mapping[str, Any], llm: Mapping[str, Any], told: list[str]
) -> None:
    models = {"forward": ModelSpec("openai/m")}
    config = schema.Config.model_construct(
        workers=schema.WorkersConf.model_validate(workers),
        llm=schema.LLMConf.model_validate({"name": "n", "models": {}, **llm}),
    )
    assert [*problems(config, models)] == told
