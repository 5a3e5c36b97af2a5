"""What is kept of an example that was run: little, from which all of it can be had again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sgdflow.executor.branches import SKIPPED
from sgdflow.executor.forward import ForwardPass
from sgdflow.executor.walk import Failure
from sgdflow.llm import Message, Usage
from sgdflow.llm.packing import Packing, is_plain, unpacked
from sgdflow.prompting.ask import Call


@dataclass(frozen=True, slots=True)
class Kept:
    """A forward pass and the calls of a judge, packed."""

    packed: bytes
    like: bytes
    """What it was packed by, which others were, too."""

    @property
    def values(self) -> Mapping[str, Any]:
        """Return the values of the pass, for less than it takes to have the whole of it."""
        return _values(unpacked(self.packed, self.like))

    @property
    def passed(self) -> ForwardPass:
        """Return the pass."""
        said = unpacked(self.packed, self.like)
        example, _, _, calls, failures, transcripts, _ = said
        made = {name: _calls(each) for name, each in calls.items()}
        failed = {
            name: Failure(origin, reason, _calls(each), kind)
            for name, (origin, reason, each, kind) in failures.items()
        }
        return ForwardPass(example, _values(said), made, failed, transcripts)

    @property
    def calls(self) -> tuple[Call, ...]:
        """Return the calls of the judge."""
        return _calls(unpacked(self.packed, self.like)[-1])


def kept(packing: Packing, passed: ForwardPass, judged: tuple[Call, ...]) -> Kept | None:
    """Return them packed; None where a value is no plain data, which stays as it is."""
    values = dict(passed.values)
    skipped = [name for name, value in values.items() if value is SKIPPED]
    values |= dict.fromkeys(skipped)
    if not all(map(is_plain, values.values())):
        return None
    calls = {name: _plain(each) for name, each in passed.calls.items()}
    failures = {
        name: (one.origin, one.reason, _plain(one.calls), one.kind)
        for name, one in passed.failures.items()
    }
    how = dict(passed.transcripts)
    said = (passed.example, values, skipped, calls, failures, how, _plain(judged))
    try:
        return Kept(packing.packed(said), packing.like)
    except ValueError:
        return None


def _values(said: Any) -> Mapping[str, Any]:
    _, values, skipped, *_ = said
    return {**values, **dict.fromkeys(skipped, SKIPPED)} if skipped else values


def _plain(calls: Iterable[Call]) -> list[Any]:
    return [
        (
            one.node,
            one.role,
            [
                (m.role, m.content, m.again, m.longer, m.form, m.images, m.temperature)
                for m in one.messages
            ],
            one.reply,
            (one.usage.prompt, one.usage.completion, one.usage.cached),
            one.malformed,
            one.times,
            one.cost,
            one.seconds,
        )
        for one in calls
    ]


def _calls(said: Iterable[Any]) -> tuple[Call, ...]:
    return tuple(
        Call(node, role, tuple(Message(*one) for one in messages), reply, Usage(*used), *others)
        for node, role, messages, reply, used, *others in said
    )
