"""A server that answers fewer calls at once than are made: their waiting counts, and is told."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from backends import Answering

from sgdflow.errors import CallFailed
from sgdflow.llm import Message, Usage
from sgdflow.llm.backend import Answer
from sgdflow.llm.client import Client
from sgdflow.llm.models import Limits, ModelSpec


class Narrow(Answering):
    """Answers two calls at once, each in a tenth of a second; the others wait."""

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(2)

    async def ask(self, spec: ModelSpec, messages: Sequence[Message], **_: Any) -> Answer:
        async with self._slots:
            await asyncio.sleep(0.1)
        return Answer("yes", "stop", Usage(1, 1), 0.0)

    async def close(self) -> None: ...


TOLD = (
    "A call had no answer in 0.25 s (llm.limits.timeout), with 7 other calls under way. A server "
    "that answers fewer at once lets the rest wait, and that counts. From here on fewer are made "
    "at once; llm.limits.concurrency says how many at most."
)


async def asked(calls: int, limits: Limits) -> tuple[list[object], str]:
    async with Client({"forward": ModelSpec("own/m")}, limits, {}, backend=Narrow()) as llm:
        made = (
            llm.complete("forward", [Message("user", f"Is it {n}?")], node="answer")
            for n in range(calls)
        )
        found = await asyncio.gather(*made, return_exceptions=True)
        return list(found), llm.session()


def test_calls_that_wait_at_the_server_become_fewer_and_that_is_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "sgdflow")
    found, session = asyncio.run(asked(16, Limits(8, timeout=0.25, retries=9, backoff=0.01)))
    assert not [one for one in found if isinstance(one, BaseException)]
    assert [record.getMessage() for record in caplog.records] == [TOLD]
    assert "timeout" in session
    assert "calls at once: 8" not in session


def test_the_reason_says_how_many_others_there_were(caplog: pytest.LogCaptureFixture) -> None:
    found, _ = asyncio.run(asked(8, Limits(8, timeout=0.25, retries=0)))
    failed = [one for one in found if isinstance(one, CallFailed)]
    assert len(failed) == 4
    assert str(failed[0]) == (
        "own/m (llm.models.forward) gave no reply to node answer in 1 attempt: no answer in time "
        '("0.25 s, with 3 other calls under way"). Raise llm.limits.timeout, or lower '
        "llm.limits.concurrency: waiting in the server's own queue counts, too."
    )
    alone, _ = asyncio.run(asked(1, Limits(8, timeout=0.05, retries=0)))
    assert "no answer in time. Raise" in str(alone[0])
