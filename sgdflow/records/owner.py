"""One process at a time works in a directory.

A lock of the operating system keeps others of the same machine out, and others elsewhere where a
network disk passes locks on; it ends with its process, however that ends. A file with the owner's
name, touched every few seconds, stands for it where locks are not passed on.
"""

from __future__ import annotations

import getpass
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from sgdflow.errors import ConfigError
from sgdflow.processes import machine, runs
from sgdflow.records.folder import read_json

LOCK, OWNER = ".lock", "owner.json"
BEAT, STALE = 10.0, 60.0
"""Seconds between two signs of life, and from the last one until nobody waits for the next."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Who works in a directory."""

    host: str
    process: int
    user: str
    since: str
    machine: str
    """Tells machines apart that call themselves alike, and one from itself before a restart."""

    @classmethod
    def here(cls) -> Owner:
        """Return what this process is called."""
        user = str(os.getuid()) if hasattr(os, "getuid") else "unknown"
        with suppress(OSError, KeyError):
            user = getpass.getuser()
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        return cls(socket.gethostname(), os.getpid(), user, since, machine())

    def words(self) -> str:
        """Name it."""
        return f"process {self.process} of {self.user} on {self.host}, since {self.since}"


@contextmanager
def owned(folder: Path, lost: Callable[[Owner], None] = lambda _: None) -> Iterator[None]:
    """Keep a directory for this process; raises ConfigError where another one works in it.

    `lost` is told, in a thread of its own, of another owner that has taken the directory over:
    it could, where this process gave no sign of life for too long.
    """
    with _writable(folder):
        folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK, timeout=0, thread_local=False, fallback_to_soft=False)
    locked = _acquired(lock, folder)
    try:
        _refuse_another(folder, locked)
        me = Owner.here()
        with _writable(folder):
            _write(folder, me)
        over = threading.Event()
        threading.Thread(target=_beat, args=(folder, me, over, lost), daemon=True).start()
        try:
            yield
        finally:
            over.set()
            if _owner(folder) == me:
                (folder / OWNER).unlink(missing_ok=True)
    finally:
        lock.release()


@contextmanager
def _writable(folder: Path) -> Iterator[None]:
    """Turn what a disk does not take into a ConfigError."""
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"{folder} cannot be written ({error.strerror}): mend that, or choose another "
            "directory with hydra.run.dir=DIR, for a multirun hydra.sweep.dir=DIR."
        ) from error


def check_free(folder: Path) -> None:
    """Raise ConfigError where another process works in a directory; nothing is changed there."""
    if not (folder / LOCK).is_file():
        return
    lock = FileLock(folder / LOCK, timeout=0, thread_local=False, fallback_to_soft=False)
    locked = _acquired(lock, folder)
    try:
        _refuse_another(folder, locked)
    finally:
        lock.release()


def _acquired(lock: FileLock, folder: Path) -> bool:
    """Return whether there is a lock now; False where the disk knows none."""
    try:
        lock.acquire()
    except Timeout:
        raise ConfigError(_held(folder, _owner(folder), None)) from None
    except (OSError, NotImplementedError):
        if not os.access(folder, os.W_OK):
            raise ConfigError(f"{folder} cannot be written.") from None
        return False
    return True


def _refuse_another(folder: Path, locked: bool) -> None:
    """Raise ConfigError where the owner that has signed is still there."""
    there = _owner(folder)
    if there is None or (there.machine == machine() and (locked or not runs(there.process))):
        return
    if there.machine == machine():
        raise ConfigError(_held(folder, there, None))
    # By the clock of the disk: those of two machines may differ.
    try:
        (folder / LOCK).touch()
        silent = (folder / LOCK).stat().st_mtime - (folder / OWNER).stat().st_mtime
    except FileNotFoundError:
        return
    if silent < STALE:
        raise ConfigError(_held(folder, there, max(0.0, silent)))


def _held(folder: Path, there: Owner | None, silent: float | None) -> str:
    """Say who works in a directory, and what to do."""
    who = there.words() if there else "another process"
    told = f"{folder} is in use by {who}."
    if there is None or there.host == socket.gethostname():
        stop = f"end it (kill {there.process})" if there else "end it"
        return f"{told} Wait for it, {stop}, or choose another directory; {_AS_SOON}"
    if silent is None:
        return f"{told} Wait for it, end it there, or choose another directory; {_AS_SOON}"
    wait = STALE - silent
    return (
        f"{told} Its last sign of life is {silent:.0f} s old. Wait for it, end it there, or "
        "choose another directory. If it is gone without a word, the same command goes on in "
        f"{wait:.0f} s."
    )


_AS_SOON = "as soon as it is gone, the same command goes on."


def _beat(folder: Path, me: Owner, over: threading.Event, lost: Callable[[Owner], None]) -> None:
    """Give signs of life."""
    while not over.wait(BEAT):
        there = _owner(folder)
        if there is not None and there != me:
            lost(there)
            return
        with suppress(OSError):  # a full or absent disk is others' to tell
            os.utime(folder / OWNER) if there else _write(folder, me)


def _owner(folder: Path) -> Owner | None:
    found = read_json(folder / OWNER) or {}
    try:
        return Owner(**found)
    except TypeError:
        return None


def _write(folder: Path, owner: Owner) -> None:
    new = folder / f"{OWNER}.{owner.process}.new"
    new.write_text(json.dumps(asdict(owner)) + "\n", encoding="utf-8")
    new.replace(folder / OWNER)
