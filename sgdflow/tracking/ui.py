"""The MLflow UI as a process of its own."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from types import FrameType
from urllib.error import URLError

from sgdflow.errors import ConfigError, SgdflowError
from sgdflow.secrets import masked
from sgdflow.tracking.store import (
    artifact_root,
    check_exists,
    is_server,
    sqlite_file,
    store_uri,
)
from sgdflow.tracking.views import ADDRESS, TAG

_ENVIRONMENT = {
    # With either of these, MLflow's server imports litellm and never comes up without a network.
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # A folder named mlflow in the working directory must not be taken for the package.
    "PYTHONSAFEPATH": "1",
}
_PATIENCE, _GRACE = 120.0, 5.0
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}


class UIError(SgdflowError):
    """Report that the MLflow UI did not come up or went down."""


def serve(
    uri: str | None, port: int, host: str = "127.0.0.1", experiment: str | None = None
) -> int:
    """Serve the UI of a store until Ctrl-C or SIGTERM; return the exit code.

    The address it says is that of the experiment's runs, where the store can tell it at once.
    """
    uri = store_uri(uri)
    _check_store(uri)
    _check_port(host, port)
    shown = f"http://{_in_url(_ANYWHERE.get(host, host))}:{port}"
    with tempfile.TemporaryFile() as noise, _stops() as stopped:
        server = _start(uri, port, host, noise.fileno())
        try:
            if not _wait_until_up(server, shown, stopped):
                if stopped:
                    return 0
                raise UIError(f"The MLflow UI did not come up:\n{_tail(noise.fileno())}")
            page = _runs_page(uri, experiment)
            sys.stdout.write(f"MLflow UI: {shown}{page} (Ctrl-C stops)\n")
            sys.stdout.flush()
            while not stopped and server.poll() is None:
                time.sleep(0.1)
            if not stopped:
                raise UIError(f"The MLflow UI went down:\n{_tail(noise.fileno())}")
        finally:
            _stop(server)
    return 0


def _runs_page(uri: str, experiment: str | None) -> str:
    """Return where the UI shows an experiment; empty where the store is no sqlite file with it."""
    file = sqlite_file(uri)
    if experiment is None or file is None:
        return ""
    query = (
        "SELECT e.experiment_id, t.value FROM experiments e LEFT JOIN experiment_tags t "
        "ON t.experiment_id = e.experiment_id AND t.key = ? "
        "WHERE e.name = ? AND e.lifecycle_stage = 'active'"
    )
    try:
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as opened:
            found = opened.execute(query, [TAG, experiment]).fetchone()
    except sqlite3.Error:
        return ""
    if not found:
        return ""
    return f"/#/experiments/{found[0]}/runs" + (f"?{ADDRESS}" if found[1] else "")


def _check_store(uri: str) -> None:
    if is_server(uri):
        raise ConfigError(f"tracking.uri={masked(uri)} is a server with its own UI: open it there.")
    check_exists(uri)


def _check_port(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        if sys.platform != "win32":
            # Else a port counts as taken for a minute after its last connection has ended.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            raise ConfigError(
                f"The UI cannot listen on {host}, port {port}: {error}. Choose another --port."
            ) from error


def _start(uri: str, port: int, host: str, noise: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "mlflow", "ui", "--workers", "1"]
    command += ["--host", host, "--port", str(port)]
    if root := artifact_root(uri):
        command += ["--artifacts-destination", root]
    # The address may hold a password, which must not stand in a process list.
    environment = os.environ | _ENVIRONMENT | {"MLFLOW_BACKEND_STORE_URI": uri}
    return subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=noise,
        stderr=noise,
        # A group of its own, so that Ctrl-C reaches only us and all its workers can be ended.
        start_new_session=True,
    )


def _wait_until_up(server: subprocess.Popen[bytes], url: str, stopped: list[int]) -> bool:
    # A proxy of the environment knows nothing of this machine's own ports.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end and server.poll() is None and not stopped:
        try:
            with opener.open(f"{url}/health", timeout=2) as answer:
                return bool(answer.status == 200)
        except (URLError, OSError):
            time.sleep(0.1)
    return False


@contextmanager
def _stops() -> Iterator[list[int]]:
    """Collect the signals that ask for an end."""
    stopped: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        stopped.append(number)

    names = ("SIGINT", "SIGTERM", "SIGHUP")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    before = {number: signal.signal(number, note) for number in numbers}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(server: subprocess.Popen[bytes]) -> None:
    """End the server with all its workers."""
    _signal(server, "SIGTERM")
    end = time.monotonic() + _GRACE
    while time.monotonic() < end and _alive(server):
        time.sleep(0.05)
    _signal(server, "SIGKILL")
    server.wait()


def _alive(server: subprocess.Popen[bytes]) -> bool:
    """Say whether the server or one of its workers still runs."""
    ended = server.poll() is not None
    return not ended if sys.platform == "win32" else _signal(server, "")


def _signal(server: subprocess.Popen[bytes], name: str) -> bool:
    """Send a signal to the whole group; False where nobody is left."""
    if sys.platform == "win32":
        server.terminate()
        return True
    try:
        os.killpg(server.pid, getattr(signal, name, 0))
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _tail(noise: int) -> str:
    """Return the last lines of what the server said."""
    os.lseek(noise, 0, os.SEEK_SET)
    with os.fdopen(os.dup(noise), "rb") as file:
        lines = file.read().decode(errors="replace").splitlines()
    return masked("\n".join(lines[-20:])) or "(it said nothing)"


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
