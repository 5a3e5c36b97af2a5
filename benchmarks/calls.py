"""CPU time of a call, calls a second and memory, through litellm over HTTP on loopback.

`python benchmarks/calls.py cpu` or `rate`, each with `--times N`; a time is a fresh process.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
from typing import Any

from measure import client, endpoint, resident, said

from sgdflow.llm import Message
from sgdflow.llm.client import Client

_PROMPT = "A train leaves at noon and goes 60 km an hour. Where is it at two? " * 8


async def _calls(llm: Client, first: int, number: int) -> None:
    """Make so many different calls."""
    said = [Message("system", "Be brief.")]
    asked = (Message("user", f"{_PROMPT}{n}") for n in range(first, first + number))
    await asyncio.gather(*(llm.complete("forward", [*said, one], node="n") for one in asked))


async def _measure(url: str, concurrency: int, warm: int, parts: int, part: int) -> dict[str, Any]:
    async with client(url, concurrency) as llm:
        await _calls(llm, 0, warm)
        seconds, cpu, sizes = time.perf_counter(), time.process_time(), [resident()]
        for number in range(parts):
            await _calls(llm, warm + number * part, part)
            sizes.append(resident())
        seconds, cpu = time.perf_counter() - seconds, time.process_time() - cpu
    made = parts * part
    return {"cpu": 1000 * cpu / made, "rate": made / seconds, "memory": sizes}


_HOW = {"cpu": (0.0, 64, 200, 4, 500), "rate": (0.1, 256, 500, 5, 1000)}


def main() -> None:
    """Measure in fresh processes, and print a table."""
    parser = argparse.ArgumentParser(description="Calls through the client.")
    parser.add_argument("what", choices=_HOW)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    latency, concurrency, warm, parts, part = _HOW[arguments.what]
    if arguments.url:
        found = asyncio.run(_measure(arguments.url, concurrency, warm, parts, part))
        print(json.dumps(found))
        return
    measured = []
    for _ in range(arguments.times):
        with endpoint(latency) as url:
            command = [sys.executable, __file__, arguments.what, "--url", url]
            run = subprocess.run(command, stdout=subprocess.PIPE, check=True)
            measured.append(json.loads(run.stdout))
    print(f"{parts * part} calls, {concurrency} at once, {latency * 1000:g} ms each")
    print(f"  CPU ms a call      {said([one['cpu'] for one in measured])}")
    print(f"  calls a second     {said([one['rate'] for one in measured], '.0f')}")
    for one in measured:
        print(f"  MB after each part {' '.join(f'{size:.0f}' for size in one['memory'])}")


if __name__ == "__main__":
    main()
