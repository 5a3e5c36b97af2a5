"""What several test files share."""

from __future__ import annotations

import gc
import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

from sgdflow.update import Gate

# What a developer has set for other tools decides nothing here.
for name in [
    name for name in os.environ if name.startswith("MLFLOW_") or name.endswith("_BASE_URL")
]:
    if name != "MLFLOW_DISABLE_TELEMETRY":
        del os.environ[name]


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for no garbage in what is read, and never again in what has come to stay."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files whose tests may take longest: no worker is left with one at the end."""
    asked: dict[Path, float] = {}
    for item in items:
        mark = item.get_closest_marker("timeout")
        seconds = float(mark.args[0]) if mark is not None else 0.0
        asked[item.path] = max(asked.get(item.path, 0.0), seconds)
    items.sort(key=lambda item: -asked[item.path])


@pytest.fixture(scope="session", autouse=True)
def _own_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the list of what a user has made out of the tester's home."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Make once what every test would make anew of the same files."""
    from kept import keep_all

    with pytest.MonkeyPatch.context() as patched:
        keep_all(patched, tmp_path_factory.mktemp("kept"))
        yield


@pytest.fixture(scope="session")
def endpoint() -> Iterator[str]:
    """Serve the simulated models over HTTP: they answer from the prompt alone, whoever asks."""
    served = subprocess.Popen(
        [sys.executable, "-m", "sgdflow", "simulate", "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert served.stdout is not None
    found = re.search(r"http://\S+", served.stdout.readline())
    assert found is not None
    yield found[0]
    served.terminate()
    served.communicate(timeout=20)


OWN_MODULES = ("my_tools", "tools")
"""What projects of the tests call theirs."""
Start = Callable[..., tuple[int, str, str]]
"""Takes a folder, words and variables; returns the exit code and what was said."""


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Start:
    """Give commands in this process as the installed program does, which looks into no folder."""
    from sgdflow.cli.main import main

    monkeypatch.setattr(sys, "path", [one for one in sys.path if one not in ("", str(Path.cwd()))])

    def start(folder: Path, *words: str, **environ: str) -> tuple[int, str, str]:
        with monkeypatch.context() as patched:
            patched.chdir(folder)
            patched.setattr(sys, "argv", ["sgdflow", *words])
            patched.setattr(sys, "path", [*sys.path])
            # Whatever a command sets is taken back.
            patched.setenv("SGDFLOW_PROJECT", environ.get("SGDFLOW_PROJECT", ""))
            patched.setenv("HYDRA_FULL_ERROR", "")
            try:
                code = main()
            except SystemExit as error:
                code = error.code if isinstance(error.code, int) else 1
                if isinstance(error.code, str):
                    sys.stderr.write(f"{error.code}\n")
        for name in OWN_MODULES:
            sys.modules.pop(name, None)
        said = capsys.readouterr()
        return code, said.out, said.err

    return start


@pytest.fixture
def unread() -> Iterator[None]:
    """No log is read, as in a program that has set up none; a command of another test may have."""
    loggers = [logging.getLogger(), logging.getLogger("sgdflow")]
    before = [one.level for one in loggers]
    for one, level in zip(loggers, (logging.WARNING, logging.NOTSET), strict=True):
        one.setLevel(level)
    yield
    for one, level in zip(loggers, before, strict=True):
        one.setLevel(level)


@pytest.fixture(autouse=True)
def _litellm_as_it_was() -> Iterator[None]:
    """Undo what a login in an address changes for the process: how litellm's calls are made."""
    yield
    if (found := sys.modules.get("litellm")) is not None:
        found.disable_aiohttp_transport = False  # type: ignore[attr-defined]


@pytest.fixture(scope="module", params=["auto", "litellm"])
def transport(request: pytest.FixtureRequest) -> Iterator[str]:
    """Make calls that declare no transport in one way, then in the other."""
    from sgdflow.llm import transports

    with pytest.MonkeyPatch.context() as patched:
        for place in ("sgdflow.llm.client", "sgdflow.config.models"):
            patched.setattr(f"{place}.reached_by", lambda _: transports.reached_by(request.param))
        yield request.param


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Places in the level that the gate was asked for, in order."""
    found: list[int] = []
    true = Gate.after

    def after(gate: Gate, turned_down: int, tests: int) -> Gate:
        found.append(turned_down)
        return true(gate, turned_down, tests)

    monkeypatch.setattr(Gate, "after", after)
    return found
