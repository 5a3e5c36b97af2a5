"""A key that a run uses is in nothing that the run leaves behind."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from threading import Event, Thread

import pytest
from aiohttp import web

from sgdflow.simulation.server import Faults, create_app, running
from sgdflow.simulation.worlds import reply

ROOT = Path(__file__).resolve().parents[1]
KEY = "planted/4f9a8b7c6d5e+KEY=="
OTHER = "another-planted-1a2b3c4d"
FAULTS = Faults.parse("429=0.1,500=0.05,empty=0.05,untagged=0.05,reset=0.03,nonjson=0.03", 3)


class Echo:
    """The simulated models, which repeat what came in a request's headers."""

    def __init__(self) -> None:
        self.numbers = {"asked": 0, "with the key": 0, "echoed": 0}

    @property
    def middleware(self) -> Callable[..., Awaitable[web.StreamResponse]]:
        @web.middleware
        async def echo(
            request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
        ) -> web.StreamResponse:
            self.numbers["asked"] += 1
            sent = request.headers.get("Authorization", "")
            self.numbers["with the key"] += KEY in sent
            said = f"Your headers were {dict(request.headers)}: {sent}"
            which = self.numbers["asked"] % 10
            if b"no-such-model" in await request.read():
                return web.json_response({"error": {"message": said}}, status=401)
            if which == 1:
                self.numbers["echoed"] += 1
                return web.json_response(
                    {"error": {"message": said}}, status=(429, 500, 400)[which % 3]
                )
            response = await handler(request)
            if which == 2 and isinstance(response, web.Response) and response.status == 200:
                return self._repeat(response, sent)
            return response

        return echo

    def _repeat(self, response: web.Response, sent: str) -> web.Response:
        """Put the header into the reply, before its tags."""
        body = json.loads(response.text or "{}") if "json" in response.content_type else {}
        if "choices" not in body:
            return response
        self.numbers["echoed"] += 1
        message = body["choices"][0]["message"]
        message["content"] = f"I was sent {sent} and {OTHER}.\n{message['content']}"
        return web.json_response(body)


@pytest.fixture
def echo() -> Iterator[tuple[Echo, str]]:
    found, ready, served = Echo(), Event(), dict[str, object]()

    async def main() -> None:
        served["over"] = over = asyncio.Event()
        served["loop"] = asyncio.get_running_loop()
        app = create_app(reply, faults=FAULTS)
        app.middlewares.append(found.middleware)
        async with AsyncExitStack() as stack:
            served["url"] = await stack.enter_async_context(running(app))
            ready.set()
            await over.wait()

    thread = Thread(target=lambda: asyncio.run(main()))
    thread.start()
    assert ready.wait(20)
    yield found, str(served["url"])
    loop, over = served["loop"], served["over"]
    assert isinstance(loop, asyncio.AbstractEventLoop)
    assert isinstance(over, asyncio.Event)
    loop.call_soon_threadsafe(over.set)
    thread.join()


def sgdflow(folder: Path, *words: str) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OWN_KEY": KEY, "SOME_API_KEY": OTHER}
    command = [sys.executable, "-m", "sgdflow", *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False)


def left(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield str(path.relative_to(folder)), path.read_bytes()


@pytest.mark.timeout(240)
def test_no_key_is_left_behind(tmp_path: Path, echo: tuple[Echo, str]) -> None:
    seen, url = echo
    words = ["graph=tariff", "task=tariff", "task.splits.train=12", "task.splits.validation=4"]
    words += ["task.splits.test=4", "method.stop.steps=2", "llm=vllm", f"llm.api_base={url}"]
    words += ["llm.api_key_env=OWN_KEY", "llm.limits.backoff=0.01", "llm.limits.concurrency=8"]
    good = sgdflow(tmp_path, "optimize", *words, "hydra.run.dir=run", "hydra.verbose=true")
    assert good.returncode == 0, good.stderr.decode()
    again = sgdflow(tmp_path, "optimize", *words, "hydra.run.dir=run")
    refused = sgdflow(
        tmp_path, "optimize", *words, "llm.store.mode=replay", "seed=1", "hydra.run.dir=refused"
    )
    # A wrong name of a model that only a later step asks; the 401 repeats the key.
    named = ["llm.models.optimizer=openai/no-such-model", "hydra.run.dir=named", "seed=2"]
    wrong = sgdflow(tmp_path, "optimize", *words, *named)
    assert (again.returncode, refused.returncode, wrong.returncode) == (0, 1, 1)
    told = wrong.stderr.decode()
    assert "openai/no-such-model at api_base=" in told
    assert "[key]" in told
    assert "Check the key in OWN_KEY." in told
    assert seen.numbers["asked"] == seen.numbers["with the key"] > 50
    assert seen.numbers["echoed"] > 8
    files = dict(left(tmp_path))
    for done in (good, again, refused, wrong):
        files |= {f"stdout of {done.args}": done.stdout, f"stderr of {done.args}": done.stderr}
    names = {Path(name).name for name in files}
    assert {"mlflow.db", "replies.db", "config.yaml", "hydra.yaml", "sgdflow.log"} <= names
    assert any("mlartifacts" in name for name in files)
    escaped = json.dumps(KEY)[1:-1]
    found = [
        name
        for name, content in files.items()
        for key in (KEY, escaped, OTHER)
        if key.encode() in content
    ]
    assert found == []
    # The replies that held it are there, without it.
    assert b"I was sent Bearer [key] and [key]." in b"".join(files.values())
