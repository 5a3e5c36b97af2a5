"""What the benchmarks share: the endpoint's process, the client, and tables."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median

from sgdflow.llm.client import Client, Limits, ModelSpec
from sgdflow.llm.store import Store
from sgdflow.llm.transports import Transport, reached_by

HERE = Path(__file__).parent


@dataclass
class Served:
    """An endpoint in another process."""

    url: str
    seen: Mapping[str, float] = field(default_factory=dict)
    """What it was asked, once it has ended."""


@contextmanager
def serving(latency: float, *text: str) -> Iterator[Served]:
    """Serve a canned reply in another process."""
    command = [sys.executable, str(HERE / "endpoint.py"), str(latency), *text]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        assert server.stdin is not None
        served = Served(f"http://127.0.0.1:{int(server.stdout.readline())}/v1")
        yield served
        server.stdin.close()
        served.seen = json.loads(server.stdout.readline())


@contextmanager
def endpoint(latency: float) -> Iterator[str]:
    """Serve the canned reply in another process; yield the base URL."""
    with serving(latency) as served:
        yield served.url


def client(
    url: str, concurrency: int, store: Store | None = None, transport: Transport = "auto"
) -> Client:
    """Return a client whose libraries are imported, and who knows prices, as that of a run does."""
    spec = ModelSpec("openai/canned", url, None, {"temperature": 0, "max_tokens": 100})
    backend = reached_by(transport)
    backend.load([spec])
    backend.price_of(spec)
    models = {"forward": spec}
    models["backward"] = replace(spec, model="openai/canned-gradients")
    models["optimizer"] = replace(spec, model="openai/canned-rewrites")
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
