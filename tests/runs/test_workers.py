"""Runs whose examples other processes score: all is as in one process."""

from __future__ import annotations

import asyncio
import re
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any, NoReturn, cast

import pytest
from forks import forked
from started import ENVIRON, FILES, left_behind, start

import sgdflow
from sgdflow.api import Flow
from sgdflow.config.compose import compose
from sgdflow.config.paths import prompt_folders
from sgdflow.data import Example
from sgdflow.errors import ConfigError, NoResult
from sgdflow.executor.forward import ForwardPass
from sgdflow.executor.outcomes import Outcome
from sgdflow.llm.calling import Calling
from sgdflow.llm.database import Replies
from sgdflow.llm.known import Known
from sgdflow.processes import runs
from sgdflow.runs.crew import Crew
from sgdflow.runs.hands import OfThisMachine
from sgdflow.runs.worker import Chunk, Done, Given, Worker
from sgdflow.simulation.server import create_app, running
from sgdflow.simulation.worlds import reply

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
import time
from pathlib import Path

def desk(order):
    if Path("slow").exists():
        Path(f"at_work-{os.getpid()}").touch()
        time.sleep(60)
    if Path("fatal").exists():
        Path("fatal").unlink()
        os.kill(os.getpid(), 9)
    if Path("seen").exists():
        Path("seen", str(os.getpid())).touch()
    print("this is no answer")
    if Path("odd").exists():
        return Odd("odd")
    return str(len(order))

class Odd(str):
    def __reduce__(self):
        raise TypeError("it is odd")

def score(output, target):
    if Path("wrong").exists():
        raise ValueError("no such length")
    return 0.5
"""
pytestmark = pytest.mark.timeout(600)


def run(folder: Path, *words: str) -> tuple[int, str]:
    """Return how `sgdflow WORDS` ends in a folder, and what it says; its workers are anew."""
    ended = forked(folder, *words, environment=ENVIRON)
    return ended.returncode, ended.stdout + ended.stderr


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
    files = (*FILES, "calls.jsonl")
    assert left_behind(tmp_path / "two", files) == left_behind(tmp_path / "one", files)
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
    found = [left_behind(project / name, (), "evaluation.json") for name in ("one", "two")]
    assert found[0] == found[1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_stop_stops_a_worker_in_the_middle_of_its_chunk(
    number: signal.Signals, project: Path
) -> None:
    """It would make all calls of the chunk, and pay for them, for nobody."""
    (project / "slow").touch()
    words = [*EVALUATE, "hydra.run.dir=run", "workers.count=1"]
    with (project / "said.txt").open("w") as out:
        program = start(project, *words, stdout=out, stderr=out)
    while not (working := [*project.glob("at_work-*")]):
        assert program.poll() is None, (project / "said.txt").read_text()
        time.sleep(0.05)
    worker = int(working[0].name.partition("-")[2])
    assert worker != program.pid
    program.send_signal(number)
    code = program.wait(20)
    said = (project / "said.txt").read_text()
    end = time.monotonic() + 10
    while runs(worker):
        assert time.monotonic() < end
        time.sleep(0.05)
    if number == signal.SIGINT:
        assert (code, said.endswith("Interrupted.\n")) == (130, True), said
        assert not (project / "run" / "owner.json").exists()


def test_an_answer_that_nobody_waits_for_is_not_taken_for_the_next_one() -> None:
    """A worker that is about something when the run gives it up is ended, and not asked again."""

    class Late:
        def __init__(self) -> None:
            self.asked: list[Chunk] = []
            self.over = False

        async def work(self, chunk: Chunk) -> Done:
            self.asked.append(chunk)
            if len(late) == 1:
                await asyncio.sleep(60)
            passed = cast(ForwardPass, None)
            outcomes = [Outcome(passed, None, one.id) for one in self.asked[0].examples]
            return Done(outcomes, Known(()).part())

        async def close(self) -> None:
            self.over = True

        end = close

    late: list[Late] = []

    async def started() -> Late:
        late.append(Late())
        return late[-1]

    async def main() -> None:
        crew = Crew(1, started, Known(()))
        first, second = ([Example(f"{n}{at}", {}, "") for at in range(3)] for n in "ab")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(crew.outcomes({}, first, lambda score: None), 0.2)
        found = await crew.outcomes({}, second, lambda score: None)
        assert [one.failure for one in found] == [one.id for one in second]
        assert [hand.over for hand in late] == [True, False]
        await crew.close()
        assert late[1].over

    asyncio.run(main())


def test_what_has_been_asked_is_copied_once_for_all_chunks_of_a_wave() -> None:
    """It may be millions of requests."""
    chunks: list[Chunk] = []

    class Idle:
        async def work(self, chunk: Chunk) -> Done:
            chunks.append(chunk)
            outcome = Outcome(cast(ForwardPass, None), None, "")
            return Done([outcome] * len(chunk.examples), Known(()).part())

        async def close(self) -> None:
            """Leave."""

        end = close

    async def started() -> Idle:
        return Idle()

    known = Known(())
    known.asked.update({"one": 2, "other": 1})
    examples = [Example(f"{at}", {}, "") for at in range(600)]
    asyncio.run(Crew(2, started, known).outcomes({}, examples, lambda score: None))
    assert [len(chunk.examples) for chunk in chunks] == [200, 200, 200]
    assert len({id(chunk.asked) for chunk in chunks}) == 1
    assert chunks[0].asked == {"one": 2, "other": 1}


def test_what_goes_wrong_in_a_worker_is_said_as_in_one_process(project: Path) -> None:
    (project / "wrong").touch()
    words = [*EVALUATE, "task.score={_target_:mine.score}"]
    (alone, said), (shared, told) = (
        run(project, *words, f"hydra.run.dir={name}", f"workers.count={count}")
        for name, count in (("one", 0), ("two", 2))
    )
    assert alone == shared == 1
    told_so = r"task\.score: .*: no such length \(\w+\.py, line \d+\)\. Mend the scorer"
    assert re.search(told_so, said)
    place = re.compile(r"task\.score: [^:]*:")
    lines = [sorted(set(place.sub("", text).splitlines())) for text in (said, told)]
    assert lines[0] == [line.replace("two", "one") for line in lines[1]]


def test_what_a_worker_cannot_do_is_told_and_is_no_lack_of_memory(project: Path) -> None:
    (project / "odd").touch()
    code, said = run(project, *EVALUATE, "hydra.run.dir=one")
    assert code == 0, said
    code, said = run(project, *EVALUATE, "hydra.run.dir=two", "workers.count=1")
    assert code == 1
    assert (
        "There is no result: what nodes have returned cannot be handed from a worker to the run "
        "(it is odd); have them return plain data, or set workers.count=0. Mend the cause"
    ) in said
    assert "memory" not in said
    spoilt = Given({}, (), cast(Path, None), 0.0, "", 1)
    with pytest.raises(NoResult, match=r"a worker has failed with \w+Error: .*\.py, line \d+\)\. "):
        asyncio.run(OfThisMachine.started(spoilt))


def test_workers_share_the_calls_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as one process makes, or fewer than one more for each worker."""
    opened: list[Calling] = []

    def seen(self: Calling, *_: object, **__: object) -> NoReturn:
        opened.append(self)
        raise EndOfTest

    class EndOfTest(Exception):
        pass

    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(Calling, "opened", seen)
    monkeypatch.chdir(tmp_path)
    limits = ["llm.limits.concurrency=10", "llm.limits.roles.forward.concurrency=7"]
    raw = compose([*SMALL, *limits, "llm.limits.roles.backward.requests_per_minute=9"])
    for count, whole, forward in ((1, 10, 7), (3, 4, 3), (4, 3, 2), (64, 1, 1)):
        with pytest.raises(EndOfTest):
            Worker(Given(raw, prompt_folders(tmp_path), tmp_path, 0.0, "", count))
        own = opened.pop().limits
        assert (own.concurrency, own.roles["forward"].concurrency) == (whole, forward)
        assert own.roles["backward"].concurrency is None
        assert own.roles["backward"].requests_per_minute == 9  # that is shared otherwise


PYTHON = """
import os, sgdflow
flow = sgdflow.load(*{words})
flow.{what}
assert os.listdir("seen") and str(os.getpid()) not in os.listdir("seen")
"""


@pytest.mark.parametrize(
    "what", ["evaluate('test', record=False)", "optimize(record=False, progress=False)"]
)
def test_runs_without_records_have_their_workers_and_their_budget(project: Path, what: str) -> None:
    """What is shared counts in the store, so that workers find it there."""
    (project / "seen").mkdir()
    program = PYTHON.format(words=[*EVALUATE[1:], "workers.count=1"], what=what)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=project, env=ENVIRON, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    limits = ["llm.limits.shared=true", "llm.limits.budget.calls=500", "llm.store.mode=use"]
    flow = sgdflow.load(*SMALL, "method.stop.steps=0", "workers.count=1", *limits, working=project)
    eval(f"flow.{what}", {"flow": flow})
    with closing(sqlite3.connect(project / "replies.db")) as database:
        [[account, calls]] = database.execute("SELECT account, calls FROM spending")
    assert account.startswith("unrecorded ")
    assert calls > 5


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
