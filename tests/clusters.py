"""Engines of this one machine: a Ray cluster of two nodes, a Slurm, PostgreSQL and MLflow."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NoReturn
from unittest.mock import patch

import pytest

PATIENCE = 180.0
_PATIENT = {"RAY_raylet_start_wait_time_s": str(int(PATIENCE))}
_OPEN = {"RAY_AUTH_MODE": "disabled"}
"""Else the first node takes the token that an earlier cluster left in ~/.ray, and others do not."""
SLURM_CONF = """\
ClusterName=here
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
ReturnToService=2
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def lacking(needed: str) -> NoReturn:
    """Skip a test; where engines were asked for, fail: a run of nothing would look like success."""
    if os.environ.get("SGDFLOW_ENGINES"):
        pytest.fail(f"needs {needed}; or leave it out: make test-engines ENGINES='joblib ...'")
    pytest.skip(f"needs {needed}")


@contextmanager
def nothing(folder: Path) -> Iterator[tuple[Sequence[str], Mapping[str, str]]]:
    """An engine that begins with the sweep."""
    yield (), {}


@contextmanager
def ray_cluster(folder: Path) -> Iterator[tuple[Sequence[str], Mapping[str, str]]]:
    """Two nodes, each of which begins its workers in an empty folder of its own."""
    program = Path(sys.executable).with_name("ray")
    if not program.is_file():
        lacking("pip install 'sgdflow[ray]'")
    port = _free_port()
    shared = ["--num-cpus=1", "--block", "--disable-usage-stats", "--object-store-memory=100000000"]
    head = ["--head", f"--port={port}", "--include-dashboard=false"]
    with ExitStack() as nodes:
        nodes.enter_context(patch.dict(os.environ, _OPEN))
        # The paths of Ray's sockets have to be short.
        head.append(f"--temp-dir={nodes.enter_context(TemporaryDirectory(prefix='ray'))}")
        for name, own in (("head", head), ("second", [f"--address=127.0.0.1:{port}"])):
            (folder / name).mkdir(parents=True)
            words = [str(program), "start", *own, *shared]
            nodes.enter_context(_running(words, folder / name, _PATIENT))
            _until_said(folder / name / "said.txt", "Ray runtime started")
        yield [f"hydra.launcher.ray.init.address=127.0.0.1:{port}"], {}
        for name in ("head", "second"):
            assert [path.name for path in (folder / name).iterdir()] == ["said.txt"]


@contextmanager
def slurm(folder: Path) -> Iterator[tuple[Sequence[str], Mapping[str, str]]]:
    """One node with all cores of this machine; needs root."""
    missing = [one for one in ("slurmctld", "slurmd", "munged", "srun") if not shutil.which(one)]
    if missing or os.getuid() != 0:
        lacking(f"root, and apt-get install slurm-wlm munge (missing: {missing})")
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    told = SLURM_CONF.format(host=socket.gethostname(), folder=folder, cpus=os.cpu_count())
    (folder / "slurm.conf").write_text(told)
    environ = {"SLURM_CONF": str(folder / "slurm.conf")}
    run = Path("/run/munge")
    run.mkdir(exist_ok=True)
    shutil.chown(run, "munge", "munge")
    munged = ["runuser", "-u", "munge", "--", "munged", "--foreground", "--force"]
    with ExitStack() as daemons:
        for name, words in (
            ("munged", munged),
            ("slurmctld", ["slurmctld", "-D"]),
            ("slurmd", ["slurmd", "-D"]),
        ):
            (folder / name).mkdir()
            daemons.enter_context(_running(words, folder / name, environ))
            time.sleep(3)
        end = time.monotonic() + PATIENCE
        while "idle" not in (said := _said(["sinfo", "-h", "-o", "%T"], environ)):
            assert time.monotonic() < end, said
            time.sleep(1)
        yield ["hydra.launcher.partition=main"], environ


@contextmanager
def postgres() -> Iterator[str]:
    """An empty database, over a port of this machine; yields its address."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    initdb = shutil.which("initdb") or (str(found[-1]) if found else None)
    if initdb is None:
        lacking("apt-get install postgresql")
    if find_spec("psycopg") is None:
        lacking("pip install 'sgdflow[postgres]'")
    # The server does not run as root.
    user: dict[str, Any] = {"user": "postgres", "group": "postgres", "extra_groups": ()}
    owner = user if os.getuid() == 0 else {}
    with TemporaryDirectory(prefix="postgres") as name:
        folder, port = Path(name), _free_port()
        if owner:
            shutil.chown(folder, "postgres", "postgres")
        data = folder / "data"
        words = [initdb, "-D", str(data), "-U", "sgdflow", "-A", "trust", "-N", "-E", "UTF8"]
        made = subprocess.run(words, cwd=folder, capture_output=True, text=True, **owner)
        assert made.returncode == 0, made.stderr
        server = [str(Path(initdb).with_name("postgres")), "-D", str(data), "-p", str(port)]
        server += ["-k", str(folder), "-h", "127.0.0.1", "-F"]
        with (folder / "said.txt").open("w") as said:
            running = subprocess.Popen(server, cwd=folder, stdout=said, stderr=said, **owner)
            try:
                _until_said(folder / "said.txt", "ready to accept connections")
                yield f"postgresql://sgdflow@127.0.0.1:{port}/postgres"
            finally:
                running.send_signal(signal.SIGINT)  # ends the connections there are
                running.wait(timeout=60)


@contextmanager
def mlflow(folder: Path) -> Iterator[tuple[Sequence[str], Mapping[str, str]]]:
    """An MLflow server that keeps its records in PostgreSQL."""
    port = _free_port()
    words = [sys.executable, "-m", "mlflow", "server", "--host=127.0.0.1", f"--port={port}"]
    words += ["--workers=2", f"--artifacts-destination={folder / 'artifacts'}"]
    environ = {
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }
    with postgres() as uri:
        words.append(f"--backend-store-uri={uri.replace('postgresql:', 'postgresql+psycopg:')}")
        with _running(words, folder, environ):
            _until_said(folder / "said.txt", "Application startup complete")
            yield ["hydra.launcher.n_jobs=3", f"tracking.uri=http://127.0.0.1:{port}"], {}


def _until_said(file: Path, text: str) -> None:
    end = time.monotonic() + 2 * PATIENCE
    while text not in file.read_text():
        assert time.monotonic() < end, file.read_text()
        time.sleep(1)


def _said(words: Sequence[str], environ: Mapping[str, str]) -> str:
    env = {**os.environ, **environ}
    return subprocess.run(words, env=env, capture_output=True, text=True, timeout=60).stdout


@contextmanager
def _running(
    words: Sequence[str], folder: Path, environ: Mapping[str, str] | None = None
) -> Iterator[None]:
    """Keep a program and all that it starts alive for as long as the block lasts."""
    with (folder / "said.txt").open("w") as said:
        env = {**os.environ, **(environ or {})}
        program = subprocess.Popen(
            words, cwd=folder, env=env, stdout=said, stderr=said, process_group=0
        )
        try:
            yield
        finally:
            for number in (15, 9):
                if program.poll() is None:
                    os.killpg(program.pid, number)
                    try:
                        program.wait(timeout=20)
                    except subprocess.TimeoutExpired:
                        continue


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
