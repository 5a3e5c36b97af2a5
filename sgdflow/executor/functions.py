"""Python callables as declared in YAML: resolved once, called synchronously or awaited."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import nullcontext, suppress
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import partial
from threading import Thread
from typing import Any
from weakref import WeakKeyDictionary

from sgdflow.errors import (
    CODE,
    BudgetSpent,
    EndpointDown,
    NodeFailed,
    NotStored,
    ProviderRefused,
    did_you_mean,
    listed,
    raised_at,
)
from sgdflow.llm.bodies import causes
from sgdflow.llm.failures import classify

_PAUSE = 0.1
"""Seconds before the first further call; doubled for each next one."""
_LONGEST = 1_000
"""Characters of a reason that are told."""
_KEPT_FROM_IT = frozenset(
    {"bad_reply", "connection", "rate_limit", "server", "timeout", "unreachable"}
)
"""Kinds of failure of a model that a function asks itself which are no fault of an answer."""
_ENDINGS = (BudgetSpent, EndpointDown, NotStored, ProviderRefused)


@dataclass(frozen=True, slots=True)
class Function:
    """A callable, the name it was declared under and its constant keyword arguments."""

    call: Callable[..., Any]
    name: str
    constants: Mapping[str, Any] = field(default_factory=dict)

    async def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Call it; whatever it raises becomes NodeFailed with the reason.

        All but what ends a run: models that it asks may answer no call any more.
        """
        try:
            return await self._made(partial(self.call, *arguments, **named, **self.constants))
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise NodeFailed(f"{self.name} raised CancelledError") from error
        except (Exception, SystemExit) as error:  # sys.exit(0) would pass for a good end
            if ending := next((one for one in _single(error) if isinstance(one, _ENDINGS)), None):
                raise ending from None
            told = str(error)
            told = told if len(told) <= _LONGEST else f"{told[:_LONGEST]}..."
            reason = f"{type(error).__name__}: {told}" if told else type(error).__name__
            why = f"{self.name} raised {reason}{raised_at(error)}"
            raise NodeFailed(why, kind=_kind(error)) from error

    async def _made(self, call: Callable[[], Any]) -> Any:
        """Return what the call comes to."""
        result = call()
        return await result if inspect.isawaitable(result) else result

    def takes(self, name: str) -> bool:
        """Return whether it has, as far as can be told, a parameter of this name."""
        try:
            parameters = inspect.signature(self.call).parameters.values()
        except ValueError:
            return True
        return any(one.name == name or one.kind is one.VAR_KEYWORD for one in parameters)

    def named(self) -> Mapping[str, bool] | None:
        """Return what can be given by name, and whether it has to be; None where nobody can tell.

        Constants are given already.
        """
        try:
            parameters = inspect.signature(self.call).parameters.values()
        except ValueError:
            return None
        kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        return {
            one.name: one.default is one.empty
            for one in parameters
            if one.kind in kinds and one.name not in self.constants
        }

    def problems(self, *arguments: str, **named: str) -> Iterator[str]:
        """Yield why it cannot be called with arguments of these names."""
        try:
            inspect.signature(self.call).bind(*arguments, **named, **self.constants)
        except TypeError as error:
            given = ", ".join([*arguments, *(f"{n}=..." for n in (*named, *self.constants))])
            yield f"{self.name}({given}): {error}.{self._instead({*arguments, *named})}"
        except ValueError:
            return  # built-ins without a signature can only be tried

    def unknown(self) -> str:
        """Return the first constant that it does not take; empty where it takes all."""
        try:
            parameters = inspect.signature(self.call).parameters
        except ValueError:
            return ""
        if any(one.kind is one.VAR_KEYWORD for one in parameters.values()):
            return ""
        return next((name for name in self.constants if name not in parameters), "")

    def _instead(self, given: Collection[str]) -> str:
        """Say what it takes besides, where a constant is none of it."""
        if not (wrong := self.unknown()):
            return ""
        free = [name for name in inspect.signature(self.call).parameters if name not in given]
        return f"{did_you_mean(wrong, free)} It takes: {listed(free)}."


class AtOnce:
    """Lets so many through at the same time, in each event loop."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._loops: WeakKeyDictionary[object, asyncio.Semaphore] = WeakKeyDictionary()

    def turn(self) -> asyncio.Semaphore:
        """Return what to wait for; a semaphore belongs to one loop."""
        loop = asyncio.get_running_loop()
        return self._loops.setdefault(loop, asyncio.Semaphore(self._most))


@dataclass(frozen=True, slots=True)
class Bounded(Function):
    """A callable that may take so long, and is called again where it fails.

    It runs in a thread of its own, which nobody can end: what comes after its time is not heard.
    """

    timeout: float | None = None
    """Seconds for one call; None: any."""
    retries: int = 0
    """Calls after the first one."""
    at_once: AtOnce | None = None
    """How many run at the same time; None: any number."""

    async def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Call it, again where that fails."""
        for left in range(self.retries, 0, -1):
            with suppress(NodeFailed):
                return await Function.__call__(self, *arguments, **named)
            await asyncio.sleep(_PAUSE * 2 ** (self.retries - left))
        return await Function.__call__(self, *arguments, **named)

    async def _made(self, call: Callable[[], Any]) -> Any:
        try:
            async with self.at_once.turn() if self.at_once else nullcontext():
                async with asyncio.timeout(self.timeout):
                    result = await in_thread(call)
                    return await result if inspect.isawaitable(result) else result
        except TimeoutError as error:
            told = str(error) or f"it took longer than {self.timeout:g} s"
            raise TimeoutError(told) from error


async def in_thread(call: Callable[[], Any]) -> Any:
    """Return what a call comes to that may block; the program's end does not wait for it."""
    loop = asyncio.get_running_loop()
    made: asyncio.Future[Any] = loop.create_future()

    def settle(how: Callable[[Any], None], value: Any) -> None:
        def now() -> None:
            if not made.done():
                how(value)

        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(now)

    def work() -> None:
        try:
            value = call()
        except StopIteration as error:  # no future takes it
            settle(made.set_exception, RuntimeError(f"StopIteration: {error}"))
        except BaseException as error:
            settle(made.set_exception, error)
        else:
            settle(made.set_result, value)

    Thread(target=copy_context().run, args=(work,), daemon=True).start()
    return await made


def _kind(error: BaseException) -> str:
    """Return what kept a model or a service from answering the function, or CODE.

    A function that takes too long may do so for what it was given.
    """
    if isinstance(error, TimeoutError) or not isinstance(error, Exception):
        return CODE
    if isinstance(error, OSError) and any(isinstance(e, ConnectionError) for e in causes(error)):
        return "connection"
    found = classify(error)
    return CODE if found is None or found.kind not in _KEPT_FROM_IT else found.kind


def _single(error: BaseException) -> Iterator[BaseException]:
    """Yield the errors of a group, which a task group raises."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _single(inner)
    else:
        yield error
