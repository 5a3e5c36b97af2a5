"""How Ray begins and ends with the workers of a run; `make test-engines` tries the real one."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sgdflow.errors import ConfigError
from sgdflow.runs.hands import on_ray
from sgdflow.runs.worker import Given


class Ray:
    """Notes what it is told, in place of the library."""

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.at: str | None = None
        self.fails = ""
        self.exceptions = SimpleNamespace(RayError=OSError, RayTaskError=LookupError)

    def is_initialized(self) -> bool:
        return self.at is not None

    def get_runtime_context(self) -> Any:
        return SimpleNamespace(gcs_address=self.at)

    def init(self, address: str | None, num_cpus: int = 0, **how: Any) -> None:
        if self.fails:
            raise ConnectionError(self.fails)
        self.at = address or "here:1"
        self.heard.append(num_cpus)

    def shutdown(self) -> None:
        self.at = None
        self.heard.append("over")

    def remote(self, num_cpus: int) -> Callable[[type], Any]:
        async def ready(*given: Any) -> None:
            """Return at once."""

        actor = SimpleNamespace(begin=SimpleNamespace(remote=ready))
        return lambda kind: SimpleNamespace(remote=lambda: actor)


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Ray:
    made = Ray()
    monkeypatch.setitem(sys.modules, "ray", made)
    return made


def ran(count: int, address: str | None = None) -> None:
    async def main() -> None:
        given = Given({}, (), Path(), 0.0, "", count)
        async with on_ray(given, address) as start:
            started: list[Awaitable[Any]] = [start() for _ in range(count)]
            await asyncio.gather(*started)

    asyncio.run(main())


def test_each_run_of_a_process_has_a_ray_of_its_own_size(ray: Ray) -> None:
    ran(1)
    ran(3)
    assert ray.heard == [1, "over", 3, "over"]


def test_a_ray_that_is_there_is_used_and_left(ray: Ray) -> None:
    ray.at = "head:6379"
    ran(2)
    ran(2, "head:6379")
    assert (ray.heard, ray.at) == ([], "head:6379")
    with pytest.raises(ConfigError) as told:
        ran(1, "another:6379")
    assert str(told.value) == (
        "workers.address=another:6379: this process has another Ray already, at head:6379. Set "
        "workers.address=null to have the workers there, or call ray.shutdown() before."
    )


def test_a_ray_that_does_not_begin_is_told_without_an_address(ray: Ray) -> None:
    ray.fails = "no room"
    with pytest.raises(ConfigError) as told:
        ran(1)
    assert str(told.value) == (
        "workers.where=ray: no Ray begins on this machine (no room). Set workers.where=here for "
        "processes of this machine, or workers.address=HOST:PORT for a cluster that is there."
    )
