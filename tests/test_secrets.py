"""A key that a run uses is in nothing that the run leaves behind."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
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
        self.headers: list[Mapping[str, str]] = []

    @property
    def middleware(self) -> Callable[..., Awaitable[web.StreamResponse]]:
        @web.middleware
        async def echo(
            request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
        ) -> web.StreamResponse:
            self.numbers["asked"] += 1
            self.headers.append({key.lower(): value for key, value in request.headers.items()})
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
        message["content"] = f"I was sent {sent}.\n{message['content']}"
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


@pytest.mark.long
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
    assert b"I was sent Bearer [key]." in b"".join(files.values())


# A launcher as those for clusters are: it hands itself and Hydra's state over in a file.
LAUNCHER = """
import cloudpickle
from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.config_store import ConfigStore
from hydra.core.singleton import Singleton

class Pickling(BasicLauncher):
    def launch(self, job_overrides, initial_job_idx):
        with open("launched.pkl", "wb") as file:
            cloudpickle.dump([self, job_overrides, Singleton.get_state()], file)
        return super().launch(job_overrides, initial_job_idx)

ConfigStore.instance().store(
    group="hydra/launcher", name="pickling", node={"_target_": "hydra_plugins.launcher.Pickling"}
)
"""
MINE = """
defaults: [vllm]
parameters: {extra_headers: {X-Mine: PLANTED-in-a-file, X-Theirs: "${oc.env:THEIRS}"}}
"""
WORDS = [
    "--config-dir=conf", "graph=tariff", "task=tariff", "task.splits.train=4",
    "method.stop.steps=1",
    "task.splits.validation=2", "task.splits.test=2", "method.sample.count=1", "llm=mine",
    "llm.api_base=${oc.env:ENDPOINT}", "llm.limits.backoff=0.01", "llm.limits.concurrency=8",
    "llm.api_key_env=OWN_KEY",
]  # fmt: skip
NAME = "SGDFLOW_LLM_PARAMETERS_EXTRA_HEADERS"


class Planted:
    """A directory where secrets are planted wherever one can stand."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.said = folder, dict[str, bytes]()
        for name, text in {
            "conf/llm/mine.yaml": MINE,
            "hydra_plugins/launcher.py": LAUNCHER,
        }.items():
            (folder / name).parent.mkdir(parents=True)
            (folder / name).write_text(text)
        self.environment = {
            "PYTHONPATH": str(ROOT), "OWN_KEY": KEY, "THEIRS": "PLANTED-in-the-environment",
            "ENDPOINT": url, "NO_PROXY": "127.0.0.1", "https_proxy": "http://me:PLANTED-proxy@h:1",
        }  # fmt: skip

    def run(self, *words: str, token: str = "PLANTED-word==", **environment: str) -> str:
        header = f"+llm.parameters.extra_headers.X-Word=Bearer {token}"
        more = [*WORDS, header] if words[0] in ("optimize", "evaluate", "plan") else []
        environ = {**os.environ, **self.environment, **environment}
        # Hydra wants its flags first.
        flags = [word for word in words[1:] if word == "-m"]
        rest = [word for word in words[1:] if word != "-m"]
        command = [sys.executable, "-m", "sgdflow", words[0], *flags, *more, *rest]
        done = subprocess.run(
            command, cwd=self.folder, env=environ, capture_output=True, check=False
        )
        self.said |= {f"stdout of {words}": done.stdout, f"stderr of {words}": done.stderr}
        assert b"Traceback" not in done.stderr, done.stderr.decode()
        return f"{done.returncode} {(done.stdout + done.stderr).decode()}"

    def found(self) -> list[str]:
        ours = ("conf", "hydra_plugins")
        files = {name: text for name, text in left(self.folder) if not name.startswith(ours)}
        both = (files | self.said).items()
        return [name for name, text in both if b"PLANTED" in text or KEY.encode() in text]


@pytest.mark.timeout(300)
def test_secrets_of_every_place_are_left_nowhere(tmp_path: Path, echo: tuple[Echo, str]) -> None:
    seen, url = echo
    planted = Planted(tmp_path, url)
    assert planted.run("optimize", "hydra.run.dir=run", "hydra.verbose=true")[0] == "0"
    headers = seen.headers[-1]
    assert (headers["x-mine"], headers["x-theirs"], headers["x-word"]) == (
        "PLANTED-in-a-file", "PLANTED-in-the-environment", "Bearer PLANTED-word==",
    )  # fmt: skip
    asked = seen.numbers["asked"]
    # A renewed token is the same run, which repays nothing.
    again = planted.run("optimize", "hydra.run.dir=run", token="PLANTED-renewed")
    assert "holds this run, finished: nothing to do" in again
    (tmp_path / "run" / "result.json").unlink()
    assert planted.run("optimize", "hydra.run.dir=run", token="PLANTED-renewed")[0] == "0"
    assert seen.numbers["asked"] == asked
    sweep = ["-m", "seed=0,1", "hydra/launcher=pickling", "hydra.sweep.dir=sweep"]
    assert planted.run("optimize", *sweep)[0] == "0"
    assert planted.run("evaluate", "hydra.run.dir=scored", "split=train")[0] == "0"
    uri = "tracking.uri=http://me:PLANTED-password@127.0.0.1:9"
    refused = planted.run("optimize", "hydra.run.dir=refused", uri)
    assert refused[0] == "1"
    assert "tracking.uri=http://me:***@127.0.0.1:9" in refused
    assert planted.run("optimize", "hydra.run.dir=run", "seed=9")[0] == "1"
    assert planted.run("plan")[0] == "0"
    # What was taken elsewhere names the variables that it needs, and works where they are set.
    assert planted.run("export", "run", "--to", "taken")[0] == "0"
    (tmp_path / "rows.jsonl").write_text('{"order": "Price this order. Weight: bulky."}\n')
    told = planted.run("predict", "taken", "--input", "rows.jsonl")
    assert f"the environment variable {NAME}_X_WORD, which is not set" in told
    given = {f"{NAME}_{which}": f"PLANTED-{which}" for which in ("X_WORD", "X_MINE")}
    assert planted.run("predict", "taken", "--input", "rows.jsonl", **given)[0] == "0"
    for name in ("run/.hydra/overrides.yaml", "sweep/multirun.yaml", "taken/llm.yaml"):
        assert f"${{oc.env:{NAME}_X_WORD}}" in (tmp_path / name).read_text(), name
    for name in ("run/config.yaml", "run/.hydra/config.yaml", "sweep/multirun.yaml"):
        assert f"X-Mine: ${{oc.env:{NAME}_X_MINE}}" in (tmp_path / name).read_text(), name
        assert "api_base: ${oc.env:ENDPOINT}" in (tmp_path / name).read_text(), name
    files = {Path(name).name for name, _ in left(tmp_path)}
    assert {"launched.pkl", "MLmodel", "replies.db", "mlflow.db", "hydra.yaml"} <= files
    assert planted.found() == []
