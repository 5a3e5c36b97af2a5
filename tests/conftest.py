"""What several test files share."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

# What a developer has set for other tools decides nothing here.
for name in [
    name for name in os.environ if name.startswith("MLFLOW_") or name.endswith("_BASE_URL")
]:
    if name != "MLFLOW_DISABLE_TELEMETRY":
        del os.environ[name]


@pytest.fixture(scope="session", autouse=True)
def _own_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the list of what a user has made out of the tester's home."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture
def endpoint() -> Iterator[str]:
    """Serve the simulated models over HTTP."""
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
