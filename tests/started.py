"""The command line in processes of its own, what runs leave behind, and models that are served."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from sgdflow.simulation.server import create_app, running
from sgdflow.simulation.worlds import reply

ROOT = Path(__file__).resolve().parents[1]
ENVIRON = {**os.environ, "PYTHONPATH": str(ROOT)}
FILES = ("parameters.yaml", "steps.jsonl", "examples.jsonl", "texts.jsonl")


def start(folder: Path, *words: str, **how: Any) -> subprocess.Popen[Any]:
    """Start `sgdflow WORDS` in a folder."""
    env = {**ENVIRON, **how.pop("env", {})}
    return subprocess.Popen([sys.executable, "-m", "sgdflow", *words], cwd=folder, env=env, **how)


def run(folder: Path, *words: str) -> tuple[int, str]:
    """Return how `sgdflow WORDS` ends in a folder, and what it says."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    program = start(folder, *words, text=True, **pipes)
    out, err = program.communicate()
    return program.returncode, out + err


def left_behind(
    place: Path, files: Sequence[str] = FILES, result: str = "result.json"
) -> dict[str, Any]:
    """Return what a run has written, but for how long it took."""
    found: dict[str, Any] = {name: (place / name).read_bytes() for name in files}
    said = json.loads((place / result).read_text())
    return {**found, result: {key: value for key, value in said.items() if key != "seconds"}}


@contextmanager
def served(latency: float) -> Iterator[tuple[str, list[str]]]:
    """Yield the address of simulated models that take so many seconds, and what they are asked."""
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
        app = create_app(reply, latency=latency)
        app.middlewares.append(record)
        async with running(app) as address[0]:
            ready.set()
            await over.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    assert ready.wait(60)
    try:
        yield address[0], requests
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
        loop.close()
