"""Addresses of MLflow stores, and what has to be known of them without MLflow."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from urllib.parse import unquote

from sgdflow.config.job import working_directory
from sgdflow.errors import ConfigError
from sgdflow.homes import at_home
from sgdflow.secrets import masked

DATABASE = "mlflow.db"
VARIABLE = "MLFLOW_TRACKING_URI"
"""Environment variable of MLflow's own that names the store where tracking.uri does not."""
_SQLITE = "sqlite:///"
_FORMS = "such as sqlite:///runs.db, http://localhost:5000 or postgresql://host/database"


def store_uri(uri: str | None, base: Path | None = None) -> str:
    """Return the address with an absolute path; None is mlflow.db in the working directory.

    `base` is what a relative path starts from: the directory in which the command was given.
    """
    base = base or working_directory()
    if not uri:
        return sqlite_uri(base / DATABASE)
    if "://" not in uri:
        raise ConfigError(f"{_said(uri)} is not the address of an MLflow store, {_FORMS}.")
    if not uri.startswith("sqlite:"):
        return uri
    path = uri.removeprefix(_SQLITE)
    if not uri.startswith(_SQLITE) or path in ("", ":memory:"):
        raise ConfigError(f"{_said(uri)} names no file: runs need one, {_FORMS}.")
    return sqlite_uri(base / at_home(unquote(path), _said(uri)))


def _said(uri: str) -> str:
    """Name an address with where it was said."""
    of_environment = os.environ.get(VARIABLE) == uri
    return f"tracking.uri={masked(uri)}" + (f" (from {VARIABLE})" if of_environment else "")


def sqlite_uri(file: Path) -> str:
    """Return the address of a sqlite file."""
    # SQLAlchemy decodes the path from 2.1 on; what earlier ones take literally stays as it is.
    return _SQLITE + file.as_posix().replace("%", "%25").replace("?", "%3F")


def sqlite_file(uri: str) -> Path | None:
    """Return the file of a resolved address, None where the store is no sqlite file."""
    return Path(unquote(uri.removeprefix(_SQLITE))) if uri.startswith(_SQLITE) else None


def check_exists(uri: str) -> None:
    """Raise ConfigError where the address is that of a sqlite file which is not there."""
    file = sqlite_file(uri)
    if file is not None and not file.is_file():
        raise ConfigError(
            f"There are no runs at {file} yet: run `sgdflow optimize` first, or say where they "
            "are with tracking.uri=sqlite:///PATH."
        )


def is_server(uri: str) -> bool:
    """Say whether the address is that of a tracking server."""
    return uri.startswith(("http://", "https://"))


def artifact_root(uri: str) -> str | None:
    """Return the folder of artifacts as an address; None where a server decides.

    It stands beside a sqlite file, otherwise in the working directory.
    """
    if is_server(uri):
        return None
    file = sqlite_file(uri)
    folder = file.parent if file else working_directory()
    return (folder / "mlartifacts").absolute().as_uri()


@contextmanager
def alone(file: Path) -> Iterator[None]:
    """Keep other processes that ask for the same file waiting until the block has ended."""
    with file.open("ab") as opened:
        _lock(opened)
        # Closing gives the lock back, also when the process dies.
        yield


def _lock(opened: IO[bytes]) -> None:
    if sys.platform == "win32":
        import msvcrt
        import time

        while True:
            try:
                msvcrt.locking(opened.fileno(), msvcrt.LK_NBLCK, 1)
                return
            except OSError:
                time.sleep(0.1)
    else:
        import fcntl

        fcntl.flock(opened, fcntl.LOCK_EX)
