"""What a person sees on a terminal, and a file does not."""

from __future__ import annotations

import asyncio
import inspect
import io
import json
import logging
import os
import pty
import re
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TextIO

import pytest

from sgdflow.cli.main import main
from sgdflow.errors import spelt_out
from sgdflow.llm import Spent, Usage
from sgdflow.terminal import Part, Spelt, Watch, say, watching, write
from sgdflow.terminal.python import watching_python
from sgdflow.terminal.state import State


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[TextIO]:
    """A terminal, as this process's standard output; what it was sent comes from `shown`."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    ours, theirs = pty.openpty()
    opened = os.fdopen(theirs, "w", buffering=1, encoding="utf-8")
    opened.mode = str(ours)  # type: ignore[misc]
    monkeypatch.setattr(sys, "__stdout__", opened)
    yield opened
    opened.close()
    os.close(ours)


def shown(terminal: TextIO) -> str:
    terminal.flush()
    said = b""
    while select.select([int(terminal.mode)], [], [], 0.1)[0]:
        said += os.read(int(terminal.mode), 65536)
    return said.decode()


PARTS = [Part("Add "), Part("the", "removed"), Part("all", "added"), Part(" up\x1b[2J.\n")]


def test_changes_have_marks_in_a_file_and_colours_on_a_terminal(terminal: TextIO) -> None:
    file = io.StringIO()
    write(PARTS, file)
    assert file.getvalue() == "Add [-the-]{+all+} up\\x1b[2J.\n"
    write(PARTS, terminal)
    said = shown(terminal)
    assert "[-" not in said
    assert "\x1b[32mall" in said
    assert "\x1b[2J" not in said
    assert "up\\x1b[2J." in said


def test_without_colour_a_terminal_has_the_marks(
    terminal: TextIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    write(PARTS, terminal)
    assert shown(terminal) == "Add [-the-]{+all+} up\\x1b[2J.\r\n"


def test_what_cannot_be_seen_is_spelt_out_and_lines_and_tabs_stay() -> None:
    assert spelt_out("a\n\tb\r\x07é") == "a\n\tb\\x0d\\x07é"
    assert spelt_out("\x1b[31m \x9b2J \u202eevil\u202c \u2066\u200f") == (
        "\\x1b[31m \\x9b2J \\u202eevil\\u202c \\u2066\\u200f"
    )
    assert spelt_out("\ud83d 👩\u200d🔬 שלום नमस्ते \U0001f600") == (
        "\\ud83d 👩\u200d🔬 שלום नमस्ते \U0001f600"
    )


HOSTILE = "\x1b[31mred\x1b[0m \x9b2J \u202egnp.exe \u2066 \x07"
SPELT = "\\x1b[31mred\\x1b[0m \\x9b2J \\u202egnp.exe \\u2066 \\x07"


def test_messages_and_log_lines_spell_it_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for words in (["predict", HOSTILE], ["show", HOSTILE], [HOSTILE]):
        monkeypatch.setattr(sys, "argv", ["sgdflow", *words])
        assert main() == 1
        said = capsys.readouterr().err
        assert SPELT in said
        assert not {"\x1b", "\x9b", "\u202e", "\x07"} & set(said)
    record = logging.LogRecord("sgdflow", logging.WARNING, "", 0, "%s failed", (HOSTILE,), None)
    assert Spelt("%(levelname)s %(message)s").format(record) == f"WARNING {SPELT} failed"
    file = io.StringIO()
    say(f"{HOSTILE}\n", file)
    assert file.getvalue() == f"{SPELT}\n"


def test_log_of_a_run_holds_no_escape(tmp_path: Path) -> None:
    rows = [{"q": f"{HOSTILE} {i}", "a": "x"} for i in range(9)]
    (tmp_path / "qa.json").write_text(json.dumps(rows))
    (tmp_path / "own_tools.py").write_text("def fail(text, **_):\n    raise ValueError(text)\n")
    node = "+graph.nodes.answer.forward={_target_: own_tools.fail}"
    words = ["graph=single", "graph.inputs=[q]", "graph.nodes.answer.predecessors=[q]", node]
    words += ["task=table", "task.path=qa.json", "task.inputs=[q]", "task.target=a"]
    words += ["task.splits={train: 3, validation: 3, test: 3}", "tracking=none"]
    words += ["hydra.run.dir=run"]
    ended = subprocess.run(
        [sys.executable, "-m", "sgdflow", "evaluate", *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert SPELT in ended.stderr + ended.stdout
    for said in (ended.stdout, ended.stderr, (tmp_path / "run/sgdflow.log").read_text()):
        assert not {"\x1b", "\x9b", "\u202e", "\x07"} & set(said)


def test_the_line_says_where_a_run_is() -> None:
    state = State(began=0.0)
    state.begin_work("scoring", 40, 0.0)
    for score in (1.0, 0.5, None):
        state.advance(score)
    assert state.line(6.0) == "scoring  ━╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌ 3/40  score 0.750  0:06  1:14 left of this"
    state.begin_step(1, 4, 60.0)
    state.begin_work("learning", 0, 60.0)
    forward = Spent(1000, Usage(10_000, 2_345), 0.5)
    state.spend({"forward": Spent(), "backward": Spent(0, cost=None)}, 60.0)
    state.spend({"forward": forward, "backward": Spent(0, cost=None)}, 65.0)
    assert state.line(65.0) == (
        "step 1 of at most 4  learning  1,000 calls, 200/s  12.3k tokens  $0.5  1:05"
    )
    state.begin_step(2, 4, 90.0)
    state.spend({"forward": forward, "backward": Spent(1, cost=None)}, 100.0)
    assert state.line(100.0).endswith("cost unknown  1:40  at most 1:20 left")


@pytest.fixture
def log(terminal: TextIO) -> Iterator[logging.Logger]:
    handler = logging.StreamHandler(terminal)
    root, found = logging.getLogger(), logging.getLogger("sgdflow.told")
    found.setLevel(logging.INFO)
    root.addHandler(handler)
    yield found
    root.removeHandler(handler)


def test_log_lines_stand_above_the_line_which_is_gone_in_the_end(
    terminal: TextIO, log: logging.Logger
) -> None:
    async def work() -> None:
        async with watch.following(dict):
            done = watch.expect("scoring", 2)
            await asyncio.sleep(0.01)
            log.info("step 1: accepted")
            done(1.0)
            await asyncio.sleep(0.6)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), watching(terminal) as watch:
        asyncio.run(work())
    log.info("after")
    said = shown(terminal)
    first, above, second, after = (
        said.index(words)
        for words in ("scoring  ╌", "step 1: accepted\r\n", "━╌╌╌╌╌╌╌╌ 1/2  score 1.000", "after")
    )
    assert first < above < second < after
    assert said.index("\x1b[?25h") < after  # the cursor is back
    assert not said[said.index("\x1b[?25h") :].count("scoring")


@pytest.mark.parametrize("why", ["not wanted", "a file too", "dumb", "not alone"])
def test_nothing_is_drawn_where_it_would_disturb(
    why: str, terminal: TextIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    if why == "dumb":
        monkeypatch.setenv("TERM", "dumb")
    others = [io.StringIO()] if why == "a file too" else []

    async def work() -> None:
        async with watch.following(dict):
            watch.expect("scoring", 2)(1.0)
            await asyncio.sleep(0.01)

    wanted, alone = why != "not wanted", why != "not alone"
    with watching(terminal, *others, wanted=wanted, alone=alone) as watch:
        asyncio.run(work())
    terminal.write("end")
    assert shown(terminal) == "end"


def test_where_nothing_is_drawn_the_log_tells_it_now_and_then(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "sgdflow")
    spent = {"forward": Spent(412, Usage(80000, 8100), 0.25), "backward": Spent(0)}

    async def work(watched: AbstractContextManager[Watch]) -> None:
        with watched as watch:
            async with watch.following(lambda: spent):
                watch.step(2, 10)
                done = watch.expect("scoring", 60)
                for score in (1.0, 0.0):
                    done(score)
                await asyncio.sleep(0.35)

    assert inspect.signature(watching).parameters["pause"].default == 60  # a line a minute
    asyncio.run(work(watching(io.StringIO())))
    assert caplog.text == ""
    asyncio.run(work(watching(io.StringIO(), pause=0.1)))
    lines = [record.getMessage() for record in caplog.records]
    assert 2 <= len(lines) <= 3
    assert re.fullmatch(
        r"\.\.\. step 2 of at most 10 scoring 2 of 60, score 0\.500, 412 calls, 0/s, "
        r"88\.1k tokens, \$0\.25, 0:\d\d, \d:\d\d left of this",
        lines[-1],
    )


@pytest.mark.usefixtures("unread")
def test_what_python_starts_logs_above_the_line(
    terminal: TextIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", terminal)
    log = logging.getLogger("sgdflow.runs.run")
    before = logging.getLogger("sgdflow").handlers[:]

    async def work(watch: Watch) -> None:
        async with watch.following(dict):
            watch.step(1, 3)
            await asyncio.sleep(0.05)
            log.info("step 1: accepted")
            log.debug("not told")
            await asyncio.sleep(0.05)

    with watching_python() as watch:
        asyncio.run(work(watch))
    log.info("not told, either")
    said = shown(terminal)
    assert "step 1 of at most 3" in said
    # The line is taken away before anything is written above it.
    assert re.search(r"\x1b\[2Kstep 1: accepted\r?\n", said)
    assert "not told" not in said
    assert logging.getLogger("sgdflow").handlers == before
    with watching_python(wanted=False):
        log.info("not wanted")
    assert shown(terminal) == ""
