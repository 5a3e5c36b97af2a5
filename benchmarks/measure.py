"""What the benchmarks share: the endpoint's process, the client, and tables."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from sgdflow.llm.client import Client, Limits, ModelSpec
from sgdflow.llm.store import Store
from sgdflow.llm.transports import Transport, reached_by

HERE = Path(__file__).parent


@contextmanager
def endpoint(latency: float) -> Iterator[str]:
    """Serve the canned reply in another process; yield the base URL."""
    command = [sys.executable, str(HERE / "endpoint.py"), str(latency)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        assert server.stdin is not None
        yield f"http://127.0.0.1:{int(server.stdout.readline())}/v1"
        server.stdin.close()


def client(
    url: str, concurrency: int, store: Store | None = None, transport: Transport = "auto"
) -> Client:
    """Return a client whose libraries are imported."""
    spec = ModelSpec("openai/canned", url, None, {"temperature": 0, "max_tokens": 100})
    backend = reached_by(transport)
    backend.load([spec])
    models = dict.fromkeys(("forward", "backward", "optimizer"), spec)
    return Client(models, Limits(concurrency=concurrency, timeout=30.0), {}, store, backend=backend)


def said(values: Sequence[float], form: str = ".2f") -> str:
    """Say a median with its range."""
    return f"{median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def memory() -> float:
    """Return the most memory that the process has used, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def resident() -> float:
    """Return the memory that the process uses now, in MB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 2**20
