"""CPU time of a call, calls a second and memory, over HTTP on loopback, by transport in turns.

`python benchmarks/calls.py cpu`, `stored` (cpu with a store of replies) or `rate`, each with
`--times N`; a time is a fresh process.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
from contextlib import ExitStack, closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from measure import client, endpoint, resident, said

from sgdflow.llm import Message
from sgdflow.llm.client import Client
from sgdflow.llm.store import Store
from sgdflow.llm.transports import Transport

_PROMPT = "A train leaves at noon and goes 60 km an hour. Where is it at two? " * 8


async def _calls(llm: Client, first: int, number: int) -> None:
    """Make so many different calls."""
    said = [Message("system", "Be brief.")]
    asked = (Message("user", f"{_PROMPT}{n}") for n in range(first, first + number))
    await asyncio.gather(*(llm.complete("forward", [*said, one], node="n") for one in asked))


async def _measure(
    url: str, transport: Transport, what: str, concurrency: int, warm: int, parts: int, part: int
) -> dict[str, Any]:
    with ExitStack() as stack:
        store = None
        if what == "stored":
            folder = Path(stack.enter_context(TemporaryDirectory()))
            store = stack.enter_context(closing(Store(folder / "replies.db")))
        async with client(url, concurrency, store, transport) as llm:
            await _calls(llm, 0, warm)
            seconds, cpu, sizes = time.perf_counter(), time.process_time(), [resident()]
            for number in range(parts):
                await _calls(llm, warm + number * part, part)
                sizes.append(resident())
            seconds, cpu = time.perf_counter() - seconds, time.process_time() - cpu
    made = parts * part
    return {"cpu": 1000 * cpu / made, "rate": made / seconds, "memory": sizes}


_HOW = {
    "cpu": (0.0, 64, 200, 4, 500),
    "stored": (0.0, 64, 200, 4, 500),
    "rate": (0.1, 256, 500, 5, 1000),
}


def main() -> None:
    """Measure in fresh processes, and print a table."""
    parser = argparse.ArgumentParser(description="Calls through the client.")
    parser.add_argument("what", choices=_HOW)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--transport", choices=["litellm", "direct"], nargs="*")
    parser.add_argument("--url", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    latency, concurrency, warm, parts, part = _HOW[arguments.what]
    transports = arguments.transport or ["litellm", "direct"]
    if arguments.url:
        how = concurrency, warm, parts, part
        found = asyncio.run(_measure(arguments.url, transports[0], arguments.what, *how))
        print(json.dumps(found))
        return
    measured: dict[str, list[Any]] = {transport: [] for transport in transports}
    for _ in range(arguments.times):
        for transport, times in measured.items():
            with endpoint(latency) as url:
                command = [sys.executable, __file__, arguments.what, "--url", url]
                command += ["--transport", transport]
                run = subprocess.run(command, stdout=subprocess.PIPE, check=True)
                times.append(json.loads(run.stdout))
    stored = ", stored" if arguments.what == "stored" else ""
    print(f"{parts * part} calls, {concurrency} at once, {latency * 1000:g} ms each{stored}")
    for transport, times in measured.items():
        print(f"  {transport}")
        print(f"    CPU ms a call      {said([one['cpu'] for one in times])}")
        print(f"    calls a second     {said([one['rate'] for one in times], '.0f')}")
        for one in times:
            print(f"    MB after each part {' '.join(f'{size:.0f}' for size in one['memory'])}")


if __name__ == "__main__":
    main()
