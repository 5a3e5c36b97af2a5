"""CPU and wall time of storing a reply and of finding it again."""

from __future__ import annotations

import asyncio
import time
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from measure import said

from sgdflow.llm import Reply, Spent, Usage
from sgdflow.llm.answers import Answered
from sgdflow.llm.models import Request
from sgdflow.llm.store import Store

_NUMBER, _AT_ONCE, _TIMES = 4000, 64, 3
_GIVEN = Answered(Reply("so " * 150, Usage(300, 100), cost=0.001), Spent(1, Usage(300, 100)), "m")


def _requests(first: int) -> list[Request]:
    contents = ({"messages": "what " * 200, "sample": n} for n in range(first, first + _NUMBER))
    return [Request.of(content) for content in contents]


async def _keep(store: Store, requests: list[Request]) -> None:
    async def keep(part: list[Request]) -> None:
        for request in part:
            await store.keep(request.key, request.text, _GIVEN)

    await asyncio.gather(*(keep(requests[n::_AT_ONCE]) for n in range(_AT_ONCE)))


async def _find(store: Store, requests: list[Request]) -> None:
    for request in requests:
        assert await store.find(request.key)


def main() -> None:
    """Measure, and print a table."""
    times: dict[str, list[float]] = {"wall, storing": [], "CPU, storing": [], "CPU, finding": []}
    with TemporaryDirectory() as folder, closing(Store(Path(folder) / "replies.db")) as store:
        for number in range(_TIMES):
            requests = _requests(number * _NUMBER)
            wall, cpu = time.perf_counter(), time.process_time()
            asyncio.run(_keep(store, requests))
            times["wall, storing"].append(time.perf_counter() - wall)
            times["CPU, storing"].append(time.process_time() - cpu)
            cpu = time.process_time()
            asyncio.run(_find(store, requests))
            times["CPU, finding"].append(time.process_time() - cpu)
    print(f"{_NUMBER} replies, {_AT_ONCE} at once, {_TIMES} times")
    for what, taken in times.items():
        print(f"  {what:<18} {said([1000 * one / _NUMBER for one in taken], '.3f')} ms")


if __name__ == "__main__":
    main()
