"""The model that a run leaves in MLflow answers over HTTP as the run does."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError

import pytest

import sgdflow
from sgdflow.cli.main import main
from sgdflow.tracking import store_uri
from sgdflow.tracking.client import client

ORDER = {"order": "Price this order. Weight: bulky. Zone: none. Service: express."}
SMALL = ("experiments=quickstart", "method.stop.steps=1", "task.splits={train: 8, test: 2}")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        patched.setattr(sys, "argv", ["sgdflow", "optimize", *SMALL, "hydra.run.dir=run"])
        assert main() == 0
    return folder


def model_of(folder: Path) -> Any:
    run = json.loads((folder / "run/mlflow.json").read_text())["run_id"]
    store = client(store_uri(None, folder))
    found = store.get_run(run)
    assert found.outputs is not None
    (output,) = found.outputs.model_outputs
    return store.get_logged_model(output.model_id)


def test_a_run_ends_with_its_model(recorded: Path) -> None:
    model = model_of(recorded)
    assert model.name == "tariff"
    assert model.status == "READY"
    folder = Path(model.artifact_location.removeprefix("file://"))
    assert (
        sgdflow.load(folder / "artifacts" / "tariff").parameters
        == sgdflow.load(recorded / "run").parameters
    )


@pytest.fixture
def server(recorded: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["models", "serve", "-m", f"models:/{model_of(recorded).model_id}"]
    words += ["--env-manager", "local", "-h", "127.0.0.1", "-p", str(port), "-w", "1"]
    environ = {
        **os.environ,
        "MLFLOW_TRACKING_URI": store_uri(None, recorded),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "no_proxy": "127.0.0.1",
    }
    empty = recorded / "empty"
    empty.mkdir()
    started = subprocess.Popen(
        [sys.executable, "-m", "mlflow", *words],
        cwd=empty,
        env=environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    yield f"http://127.0.0.1:{port}"
    os.killpg(started.pid, 15)
    started.wait(20)


def asked(url: str, body: object | None = None) -> Any:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(url, headers={"Content-Type": "application/json"})
    if body is not None:
        request.data = json.dumps(body).encode()
    with opener.open(request, timeout=60) as answer:
        return answer.read()


def test_the_served_model_answers_with_the_trained_parameters(recorded: Path, server: str) -> None:
    end = time.monotonic() + 90
    while time.monotonic() < end:
        try:
            asked(f"{server}/ping")
            break
        except (URLError, OSError):
            time.sleep(0.2)
    said = json.loads(asked(f"{server}/invocations", {"inputs": [ORDER, {"order": "none"}]}))
    run = sgdflow.load(recorded / "run")
    assert said == {
        "predictions": [
            {"output": run.predict(ORDER)},
            {"output": run.predict({"order": "none"})},
        ]
    }
    with pytest.raises(HTTPError) as refused:
        asked(f"{server}/invocations", {"inputs": [{"ordr": "x"}]})
    with refused.value as answer:
        assert answer.code == 400
        assert "missing inputs ['order']" in answer.read().decode()
