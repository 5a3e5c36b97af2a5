"""The models of a run as they were declared, opened where and when they are called."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager, closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sgdflow.homes import at_home
from sgdflow.llm.backend import Backend
from sgdflow.llm.models import Limits, ModelSpec, Price, located
from sgdflow.llm.server import Server
from sgdflow.llm.store import DEFAULT, Store

if TYPE_CHECKING:
    from sgdflow.llm.client import Client


@dataclass(frozen=True, slots=True)
class Keeping:
    """Where replies are kept, and what is done with those that are there."""

    mode: Literal["use", "refresh", "off", "replay"] = "use"
    path: str | None = None
    """None: replies.db in the working directory."""
    server: Server | None = None
    """A database in place of the file."""


@dataclass(frozen=True, slots=True)
class Calling:
    """Who is called, within which limits, and where the replies are kept."""

    models: Mapping[str, ModelSpec]
    limits: Limits
    store: Keeping
    seed: int
    check: bool
    """Whether models are asked for one word before the first call."""
    backend: Backend
    """How they are reached."""

    def prices(self, keys: Mapping[str, str]) -> Mapping[str, Price | None]:
        """Return the price of each role's model where it is reached; None where nobody knows."""
        models = {role: located(spec, keys) for role, spec in self.models.items()}
        return {role: self.backend.price_of(spec) for role, spec in models.items()}

    @asynccontextmanager
    async def opened(
        self,
        working: Path,
        keys: Mapping[str, str],
        since: float | None = None,
        asked: Collection[str] = (),
        account: str = "",
    ) -> AsyncIterator[Client]:
        """Open the store and the client for one event loop.

        `working` is where a relative store path starts; a store that is refreshed uses what
        was answered from `since` on. `asked` are the roles whose models may be checked at once.
        Limits that are shared hold for all with the same `account`.
        """
        from sgdflow.llm.client import Client

        began = time.time() if since is None else since
        with self._replies(working, began) as store:
            asked = asked if self.check else ()
            how = keys, store, self.seed, asked, self.backend, account
            async with Client(self.models, self.limits, *how) as llm:
                yield llm

    def _replies(self, working: Path, since: float) -> closing[Store] | nullcontext[None]:
        if self.store.mode == "off":
            return nullcontext()
        file = working / at_home(self.store.path or DEFAULT, "llm.store.path")
        return closing(Store(self.store.server or file, self.store.mode, since))
