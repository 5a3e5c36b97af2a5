"""Runs that are killed and started again: nothing is paid twice, and the result is the same."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from sgdflow.simulation.server import create_app, running
from sgdflow.simulation.worlds import reply
from sgdflow.tracking.client import client
from sgdflow.tracking.store import store_uri

ROOT = Path(__file__).resolve().parents[2]
KILLS = int(os.environ.get("SGDFLOW_KILLS", "3"))
pytestmark = pytest.mark.timeout(300 + 120 * KILLS)

SMALL = [
    "graph=tariff",
    "task=tariff",
    "task.splits.train=10",
    "task.splits.validation=4",
    "task.splits.test=6",
    "method.stop.steps=3",
    "method.sample.count=4",
    "llm=vllm",
    "llm.endpoint=simulated",
    "llm.limits.concurrency=6",
    "llm.limits.backoff=0.01",
    "+llm.prices={hosted_vllm/model:{prompt:0.15,completion:0.6}}",
]
WIDE = [
    "method.lazy=true",
    "method.idle=false",
    "method.proposals={parents:2,each:2,form:joint,fallback:true}",
    "method.pool={keep:3,choose:pareto,merge:true}",
]


@dataclass
class Server:
    """The simulated models over HTTP, and what they were asked, by the asker's name."""

    url: str = ""
    asked: list[str] = field(default_factory=list)
    ready: threading.Event = field(default_factory=threading.Event)
    stop: Callable[[], Any] = lambda: None

    def serve(self) -> None:
        async def main() -> None:
            over = asyncio.Event()
            loop = asyncio.get_running_loop()
            self.stop = lambda: loop.call_soon_threadsafe(over.set)
            app = create_app(reply, latency=0.004)
            app.middlewares.append(self._record())
            async with running(app) as self.url:
                self.ready.set()
                await over.wait()

        asyncio.run(main())

    def _record(self) -> Any:
        @web.middleware
        async def record(
            request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
        ) -> web.StreamResponse:
            self.asked.append(messages_of(json.loads(await request.read())["messages"]))
            return await handler(request)

        return record


def messages_of(messages: Sequence[Mapping[str, str]]) -> str:
    return json.dumps([[said["role"], said["content"]] for said in messages])


def stored(file: Path) -> set[str]:
    if not file.is_file():
        return set()
    with closing(sqlite3.connect(file)) as store:
        try:
            rows = store.execute("SELECT request FROM replies").fetchall()
        except sqlite3.OperationalError:  # killed before there was a table
            return set()
    return {json.dumps(json.loads(request)["messages"]) for (request,) in rows}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    served = Server()
    thread = threading.Thread(target=served.serve)
    thread.start()
    assert served.ready.wait(20)
    yield served
    served.stop()
    thread.join()


class Zygote:
    """Starts commands quickly."""

    def __init__(self, folder: Path) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).parents[1] / "zygote.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=folder,
            env=environment,
        )
        assert self._answer() == "ready"

    def start(self, output: Path, *words: str) -> int:
        return int(self._ask([str(output), *words]))

    def wait(self, pid: int) -> int:
        return int(self._ask(pid))

    def run(self, output: Path, *words: str) -> int:
        return self.wait(self.start(output, *words))

    def _ask(self, what: Any) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(what) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("resumed")


@pytest.fixture(scope="module")
def zygote(folder: Path) -> Iterator[Zygote]:
    made = Zygote(folder)
    yield made
    assert made.process.stdin is not None
    made.process.stdin.close()
    made.process.wait(20)
    assert made.process.stdout is not None
    made.process.stdout.close()


def result(run: Path) -> tuple[str, ...]:
    """Return what has to be the same, however often a run was started."""
    record = json.loads((run / "result.json").read_text())
    assert record.pop("seconds") > 0
    assert record["cost"]["forward"] > 0
    names = ("parameters.yaml", "steps.jsonl", "calls.jsonl", "examples.jsonl", "texts.jsonl")
    return json.dumps(record), *((run / name).read_text() for name in names)


@pytest.fixture(scope="module")
def whole(server: Server, zygote: Zygote, folder: Path) -> tuple[tuple[Any, ...], int]:
    """The result of a run that nobody stopped, and how many requests it took."""
    return undisturbed(server, zygote, folder, "whole")


def undisturbed(
    server: Server, zygote: Zygote, folder: Path, name: str, *more: str
) -> tuple[tuple[Any, ...], int]:
    words = [*SMALL, *more, f"llm.api_base={server.url}", "tracking=none", f"hydra.run.dir={name}"]
    before, store = len(server.asked), f"llm.store.path={name}.db"
    assert zygote.run(folder / f"{name}.txt", "optimize", *words, store) == 0
    # One word from the model, which is not part of the run, comes first.
    assert len(stored(folder / f"{name}.db")) + 1 == len(server.asked) - before > 100
    return result(folder / name), len(server.asked) - before


def test_a_wide_search_that_is_killed_goes_on(server: Server, zygote: Zygote, folder: Path) -> None:
    wide = undisturbed(server, zygote, folder, "wide", *WIDE)
    steps = [json.loads(line) for line in wide[0][2].splitlines()]
    assert sum(len(step["others"]) for step in steps) > 2
    assert max(len(step["pool"]) for step in steps) > 1
    kills, runs, moments = 0, 0, random.Random(5)
    while kills < 2:
        run = folder / f"killed_wide{runs}"
        kills += kill_often(server, zygote, run, wide, moments, *WIDE)
        runs += 1


def test_runs_that_are_killed_go_on(
    server: Server, zygote: Zygote, folder: Path, whole: tuple[tuple[Any, ...], int]
) -> None:
    moments, kills, runs, began = random.Random(7), 0, 0, len(server.asked)
    wanted = KILLS if "SGDFLOW_KILLS" in os.environ else 2
    while kills < wanted:
        kills += kill_often(server, zygote, folder / f"killed{runs}", whole, moments)
        runs += 1
    asked, needed = len(server.asked) - began, runs * whole[1]
    sys.stderr.write(f"{kills} kills of {runs} runs; {asked} requests for {needed}\n")


def kill_often(
    server: Server,
    zygote: Zygote,
    run: Path,
    whole: tuple[tuple[Any, ...], int],
    moments: random.Random,
    *more: str,
) -> int:
    """Start and kill a run until it ends; return the number of kills."""
    store, began, kills = run.with_suffix(".db"), len(server.asked), 0
    words = [*SMALL, *more, "tracking=none", f"hydra.run.dir={run.name}"]
    words.append(f"llm.store.path={store.name}")
    words.append(f"llm.api_base={server.url}")
    while True:
        known, first = stored(store), len(server.asked)
        pid = zygote.start(run.with_suffix(".txt"), "optimize", *words)
        # The word before the first call and six calls under way; the rest has been answered.
        wanted = first + 7 + moments.randrange(max(4, 2 * whole[1] // KILLS))
        kill_after(server, wanted, moments.random() / 50, pid)
        code = zygote.wait(pid)
        kills += code == -signal.SIGKILL
        assert not known & set(server.asked[first:]), "asked again what was answered and stored"
        if code == 0:
            break
        assert code == -signal.SIGKILL
    assert result(run) == whole[0]
    # What was under way at a kill is all that was asked for again.
    assert len(server.asked) - began <= whole[1] + 7 * kills
    return kills


def kill_after(
    server: Server, asked: int, more: float, *pids: int, how: int = signal.SIGKILL
) -> None:
    """Kill the processes a bit after so many requests, unless the first has ended before."""
    end = time.monotonic() + 60
    while len(server.asked) <= asked and not over(pids[0]) and time.monotonic() < end:
        time.sleep(0.001)
    time.sleep(more)
    for pid in pids:
        if not over(pid):
            os.kill(pid, how)


def over(pid: int) -> bool:
    state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return state == "Z"


def test_a_run_that_is_terminated_says_how_to_go_on(
    server: Server, zygote: Zygote, folder: Path, whole: tuple[tuple[Any, ...], int]
) -> None:
    words = [*SMALL, "tracking=none", "hydra.run.dir=ended", "llm.store.path=ended.db"]
    words.append(f"llm.api_base={server.url}")
    said, first = folder / "ended.txt", len(server.asked)
    pid = zygote.start(said, "optimize", *words)
    kill_after(server, first + 50, 0.0, pid, how=signal.SIGTERM)
    assert zygote.wait(pid) == 130
    assert (
        "To go on where it stopped: the same command with hydra.run.dir=ended" in said.read_text()
    )
    assert said.read_text().endswith("Interrupted.\n")
    known, first = stored(folder / "ended.db"), len(server.asked)
    assert zygote.run(said, "optimize", *words) == 0
    assert not known & set(server.asked[first:])
    assert result(folder / "ended") == whole[0]


@pytest.mark.long
def test_four_jobs_that_share_their_stores_are_killed_and_go_on(
    server: Server, zygote: Zygote, folder: Path, whole: tuple[tuple[Any, ...], int]
) -> None:
    """They stand for the jobs of a parallel multirun, which a launcher runs side by side."""
    uri = f"sqlite:///{folder / 'jobs.db'}"
    words = [*SMALL, "llm.store.path=shared.db", f"llm.api_base={server.url}"]
    tracked = [f"tracking.uri={uri}", "tracking.model=false", "tracking.prompts=false"]
    jobs = [[*words, f"hydra.run.dir=job{seed}", f"seed={seed}"] for seed in range(4)]
    moments, rounds, kills = random.Random(11), max(1, KILLS // 4), 0
    began = len(server.asked)

    def start() -> list[int]:
        return [
            zygote.start(folder / f"job{n}.txt", "optimize", *job, *tracked)
            for n, job in enumerate(jobs)
        ]

    for _ in range(rounds):
        known, first = stored(folder / "shared.db"), len(server.asked)
        started = start()
        kill_after(server, first + moments.randrange(3 * whole[1] // rounds), 0.0, *started)
        kills += sum(zygote.wait(pid) == -signal.SIGKILL for pid in started)
        assert not known & set(server.asked[first:]), "asked again what was answered and stored"
    known, first = stored(folder / "shared.db"), len(server.asked)
    assert [zygote.wait(pid) for pid in start()] == [0] * 4
    assert not known & set(server.asked[first:])
    assert kills >= 2 * rounds
    needed = len(stored(folder / "shared.db"))
    sys.stderr.write(f"{kills} kills; {len(server.asked) - began} requests for {needed}\n")
    # What was under way at a kill, and a word of each start, is all that was asked for again.
    assert len(server.asked) - began <= needed + 7 * 4 * (rounds + 1)
    assert result(folder / "job0") == whole[0]
    for seed in (1, 2, 3):  # what was left behind is a whole run, as if nobody had stopped it
        again = [*words, f"seed={seed}", "llm.store.mode=replay", "tracking=none"]
        output = folder / "again.txt"
        assert zygote.run(output, "optimize", *again, f"hydra.run.dir=again{seed}") == 0
        assert result(folder / f"job{seed}") == result(folder / f"again{seed}")
    assert sorted(recorded(uri).values()) == [("FINISHED", "")] * 4
    for run in recorded(uri):
        numbers = [metric.step for metric in client(uri).get_metric_history(run, "score/train")]
        assert numbers == list(range(1, len(numbers) + 1))  # nothing is scored before


def test_an_exported_store_reproduces_the_run_without_a_key(
    server: Server, zygote: Zygote, folder: Path, whole: tuple[tuple[Any, ...], int]
) -> None:
    said, asked = folder / "replay.txt", len(server.asked)
    assert zygote.run(said, "cache", "export", "taken.db", "--store", "whole.db") == 0
    (folder / "elsewhere").mkdir()
    (folder / "taken.db").rename(folder / "elsewhere" / "taken.db")
    words = ["optimize", *SMALL, "tracking=none", "llm.store.path=elsewhere/taken.db"]
    words += ["llm.store.mode=replay", "llm.api_base=http://127.0.0.1:9/v1"]
    words += ["llm.api_key_env=A_KEY_THAT_NOBODY_HAS"]
    assert zygote.run(said, *words, "hydra.run.dir=replayed") == 0
    assert result(folder / "replayed") == whole[0]
    assert [path.name for path in (folder / "elsewhere").iterdir()] == ["taken.db"]
    assert zygote.run(said, *words, "hydra.run.dir=missing", "seed=1") == 1
    assert "has no reply to a request of node" in said.read_text()
    assert len(server.asked) == asked


def recorded(uri: str) -> dict[str, tuple[str, str]]:
    """Return status and parent of every run, by id."""
    store = client(uri)
    experiments = [one.experiment_id for one in store.search_experiments()]
    return {
        run.info.run_id: (run.info.status, run.data.tags.get("mlflow.parentRunId", ""))
        for run in store.search_runs(experiments)
    }


def test_a_multirun_that_is_killed_goes_on_in_the_same_runs(
    server: Server, zygote: Zygote, folder: Path
) -> None:
    uri = store_uri(None, folder)
    words = ["optimize", "-m", *SMALL, "seed=0,1", f"llm.api_base={server.url}"]
    words += ["hydra.sweep.dir=sweep", "llm.store.path=sweep.db"]
    said = folder / "sweep.txt"
    pid = zygote.start(said, *words)
    steps = folder / "sweep" / "1" / "steps.jsonl"
    end = time.monotonic() + 120
    while not (steps.is_file() and steps.stat().st_size) and time.monotonic() < end:
        time.sleep(0.005)
    os.kill(pid, signal.SIGKILL)
    assert zygote.wait(pid) == -signal.SIGKILL
    parent = json.loads((folder / "sweep" / "mlflow.json").read_text())["run_id"]
    before = recorded(uri)
    assert sorted(before.values()) == sorted(
        [("RUNNING", ""), ("FINISHED", parent), ("RUNNING", parent)]
    )
    known, first = stored(folder / "sweep.db"), len(server.asked)
    finished = (folder / "sweep" / "0" / "result.json").stat().st_mtime_ns
    assert zygote.run(said, *words) == 0
    assert not known & set(server.asked[first:])
    assert recorded(uri).keys() == before.keys()
    assert {status for status, _ in recorded(uri).values()} == {"FINISHED"}
    assert (folder / "sweep" / "0" / "result.json").stat().st_mtime_ns == finished
    assert f"{folder / 'sweep' / '0'} holds this run, finished" in said.read_text()
    job = json.loads((folder / "sweep" / "1" / "mlflow.json").read_text())["run_id"]
    history = client(uri).get_metric_history(job, "score/train")
    numbers = [metric.step for metric in history]
    assert numbers == list(range(1, len(numbers) + 1))  # nothing is scored before
    assert len(numbers) > 1
    # Once more: nothing is left to do.
    assert zygote.run(said, *words) == 0
    assert recorded(uri).keys() == before.keys()
    assert {status for status, _ in recorded(uri).values()} == {"FINISHED"}


def test_a_directory_with_another_run_is_left_alone(
    server: Server, zygote: Zygote, folder: Path, whole: tuple[tuple[Any, ...], int]
) -> None:
    def everything() -> dict[str, bytes]:
        run = folder / "whole"
        return {str(p): p.read_bytes() for p in sorted(run.rglob("*")) if p.is_file()}

    words = [*SMALL, "llm.store.path=whole.db", f"llm.api_base={server.url}", "tracking=none"]
    before, asked, said = everything(), len(server.asked), folder / "other.txt"
    other = ["optimize", *words, "hydra.run.dir=whole", "method.sample.count=9"]
    assert zygote.run(said, *other) == 1
    assert everything() == before
    assert "method.sample.count: 4 there, 9 here" in said.read_text()
    assert "whole holds a run with another configuration" in said.read_text()
    elsewhere = ["llm.endpoint=null", "llm.api_base=http://127.0.0.1:9/v1", "hydra.run.dir=whole"]
    assert zygote.run(said, "optimize", *words, *elsewhere) == 1
    assert everything() == before
    assert 'llm.api_base: "http://127.0.0.1:' in said.read_text()
    for address in ("http://127.0.0.1:9/v1", "[http://127.0.0.1:9/v1,http://127.0.0.1:8/v1]"):
        moved = [f"llm.api_base={address}", "llm.limits.concurrency=1"]
        assert zygote.run(said, "optimize", *words, *moved, "hydra.run.dir=whole") == 0
        assert "holds this run, finished: nothing to do" in said.read_text()
    assert len(server.asked) == asked
    assert result(folder / "whole") == whole[0]
