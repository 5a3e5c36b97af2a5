"""One process at a time works in a directory, and a dead one keeps nobody out."""

from __future__ import annotations

import getpass
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from errno import ENOSPC, ENOSYS
from pathlib import Path

import pytest
from filelock import FileLock

from sgdflow.errors import ConfigError
from sgdflow.records import owner
from sgdflow.records.owner import LOCK, OWNER, STALE, Owner, check_free, owned

OTHER = Owner("elsewhere", 4321, "anna", "2026-11-26 11:32:15", "another machine")
HOLDS = """
import sys, time
from pathlib import Path
from sgdflow.records.owner import owned
with owned(Path(sys.argv[1])):
    print("owned", flush=True)
    time.sleep(60)
"""


@contextmanager
def holding(folder: Path) -> Iterator[subprocess.Popen[str]]:
    words = [sys.executable, "-c", HOLDS, str(folder)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as held:
        assert held.stdout is not None
        assert held.stdout.readline() == "owned\n"
        yield held
        held.kill()


def refusal(folder: Path) -> str:
    with pytest.raises(ConfigError) as raised, owned(folder):
        pass
    with pytest.raises(ConfigError) as looked:
        check_free(folder)
    # Nothing but the age of a sign of life may differ.
    assert re.sub(r"\d+ s", "", str(raised.value)) == re.sub(r"\d+ s", "", str(looked.value))
    return str(raised.value)


def sign(folder: Path, owner: Owner, age: float) -> None:
    folder.mkdir(exist_ok=True)
    (folder / LOCK).touch()
    (folder / OWNER).write_text(json.dumps(asdict(owner)))
    os.utime(folder / OWNER, (time.time() - age,) * 2)


def test_a_second_process_is_told_who_works_there_and_a_killed_one_is_forgotten(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "run"
    with holding(folder) as first:
        since = json.loads((folder / OWNER).read_text())["since"]
        assert refusal(folder) == (
            f"{folder} is in use by process {first.pid} of {getpass.getuser()} on "
            f"{socket.gethostname()}, since {since}. Wait for it, end it (kill {first.pid}), or "
            "choose another directory; as soon as it is gone, the same command goes on."
        )
        first.send_signal(signal.SIGKILL)
        first.wait()
        assert (folder / OWNER).is_file()
        check_free(folder)
        with owned(folder):
            assert json.loads((folder / OWNER).read_text())["process"] == os.getpid()
    assert not (folder / OWNER).exists()
    check_free(folder)


def test_threads_of_one_process_are_kept_apart_too(tmp_path: Path) -> None:
    with owned(tmp_path):
        assert f"process {os.getpid()} of" in refusal(tmp_path)
    with owned(tmp_path):
        pass


def test_a_sign_of_life_from_another_machine_keeps_others_out_until_it_is_old(
    tmp_path: Path,
) -> None:
    # As on a network disk that passes no locks on: the lock is free, and yet somebody is there.
    sign(tmp_path, OTHER, age=20)
    assert refusal(tmp_path) == (
        f"{tmp_path} is in use by process 4321 of anna on elsewhere, since 2026-11-26 11:32:15. "
        "Its last sign of life is 20 s old. Wait for it, end it there, or choose another "
        "directory. If it is gone without a word, the same command goes on in 40 s."
    )
    assert json.loads((tmp_path / OWNER).read_text())["process"] == 4321
    sign(tmp_path, OTHER, age=STALE + 1)
    with owned(tmp_path):
        assert json.loads((tmp_path / OWNER).read_text())["process"] == os.getpid()


def test_where_the_disk_knows_no_locks_the_process_itself_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(self: FileLock) -> None:
        raise OSError(ENOSYS, "no locks here")

    monkeypatch.setattr(FileLock, "acquire", missing)
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as living:
        there = replace(Owner.here(), process=living.pid)
        sign(tmp_path, there, age=0)
        assert f"process {living.pid} of" in refusal(tmp_path)
        living.kill()
    sign(tmp_path, there, age=0)
    with owned(tmp_path):
        pass
    sign(tmp_path, OTHER, age=1)
    assert "process 4321 of anna on elsewhere" in refusal(tmp_path)


def test_the_owner_gives_signs_of_life_and_notices_when_it_was_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, "BEAT", 0.01)
    noticed: list[Owner] = []
    told = threading.Event()

    def lost(by: Owner) -> None:
        noticed.append(by)
        told.set()

    with owned(tmp_path, lost):
        os.utime(tmp_path / OWNER, (0, 0))
        end = time.monotonic() + 10
        while (tmp_path / OWNER).stat().st_mtime == 0 and time.monotonic() < end:
            time.sleep(0.005)
        assert time.time() - (tmp_path / OWNER).stat().st_mtime < 10
        sign(tmp_path, OTHER, age=0)
        assert told.wait(10)
    assert noticed == [OTHER]
    # What belongs to the other one by now is left to it.
    assert json.loads((tmp_path / OWNER).read_text())["host"] == "elsewhere"


def test_a_directory_that_cannot_be_written_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(self: FileLock) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(FileLock, "acquire", denied)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(ConfigError, match="cannot be written") as raised, owned(tmp_path):
        pass
    assert str(raised.value) == f"{tmp_path} cannot be written."


def test_what_a_disk_does_not_take_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file or a folder in the way, or a full disk: one message, and the lock is given up."""

    def refused(folder: Path) -> str:
        with pytest.raises(ConfigError) as raised, owned(folder):
            pass
        return str(raised.value)

    more = "mend that, or choose another directory with hydra.run.dir=DIR, for a multirun "
    (tmp_path / "file").touch()
    run = tmp_path / "file" / "run"
    told = f"{run} cannot be written (Not a directory): {more}hydra.sweep.dir=DIR."
    assert refused(run) == told
    (tmp_path / "run" / OWNER).mkdir(parents=True)
    told = f"{tmp_path / 'run'} cannot be written (Is a directory): {more}hydra.sweep.dir=DIR."
    assert refused(tmp_path / "run") == told

    def full(*_: object, **__: object) -> int:
        raise OSError(ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_text", full)
        assert "cannot be written (No space left on device): mend" in refused(tmp_path / "full")
    with owned(tmp_path / "full"):
        assert (tmp_path / "full" / OWNER).is_file()
