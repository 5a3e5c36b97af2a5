"""Two machines, which share nothing but a database: what they ask is paid once."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import clusters
import pytest
from aiohttp import web

from sgdflow.simulation.server import create_app, running
from sgdflow.simulation.worlds import reply

ROOT = Path(__file__).resolve().parents[2]
WORDS = ["optimize", "llm=vllm", "llm.endpoint=simulated", "llm.check=false", "method.stop.steps=1"]
WORDS += ["task.splits.train=8", "task.splits.validation=4", "task.splits.test=4", "tracking=none"]
FILES = ("result.json", "parameters.yaml", "steps.jsonl", "examples.jsonl")
pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def asked() -> Iterator[tuple[str, list[str]]]:
    """Yield the address of simulated models, and what they are asked."""
    requests: list[str] = []
    ready, address, over = threading.Event(), [""], asyncio.Event()
    loop = asyncio.new_event_loop()

    @web.middleware
    async def record(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        requests.append((await request.read()).decode())
        return await handler(request)

    async def serve() -> None:
        app = create_app(reply, latency=0.3)
        app.middlewares.append(record)
        async with running(app) as address[0]:
            ready.set()
            await over.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    ready.wait()
    yield address[0], requests
    loop.call_soon_threadsafe(over.set)
    thread.join()
    loop.close()


def test_two_machines_with_one_database_pay_once(
    asked: tuple[str, list[str]], tmp_path: Path
) -> None:
    """Each in a folder of its own; the password of the address is written nowhere."""
    address, requests = asked
    with clusters.postgres() as uri:
        said = uri.replace("sgdflow@", "sgdflow:unwritten@")
        words = [*WORDS, f"llm.api_base={address}", f"llm.store.uri={said}"]
        started = []
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            started.append(_start(tmp_path / name, words))
        for process in started:
            out, err = process.communicate(timeout=500)
            assert process.returncode == 0, f"{out}\n{err}"
            assert "unwritten" not in out + err
    assert len(requests) > 50
    assert len(requests) == len(set(requests))
    left = {path.name for path in (tmp_path / "one").iterdir()}
    assert left == {"run"}
    assert _results(tmp_path / "one") == _results(tmp_path / "two")
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path for path in written if b"unwritten" in path.read_bytes()]


def _start(folder: Path, words: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "sgdflow", *words, "hydra.run.dir=run"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _results(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {name: (folder / "run" / name).read_bytes() for name in FILES}
    result = json.loads(found["result.json"])
    return {**found, "result.json": {k: v for k, v in result.items() if k != "seconds"}}
