"""A run that Python starts: what it leaves behind, and whom it tells."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from sgdflow.config.prepare import Prepared
from sgdflow.config.project import inside
from sgdflow.config.schema import Tracking
from sgdflow.config.written import Composed, written_of
from sgdflow.data import Example
from sgdflow.deploy.model import keep_model
from sgdflow.descent import Descent, Observer, Result, Scores, Step
from sgdflow.errors import ConfigError, listed
from sgdflow.executor.outcomes import Evaluation
from sgdflow.homes import at_home
from sgdflow.llm.client import Client
from sgdflow.llm.credentials import sent
from sgdflow.prompting.templates import Prompts
from sgdflow.records import RunFolder, documents
from sgdflow.records.owner import Owner, owned
from sgdflow.records.resume import check, finished, goes_further
from sgdflow.records.trust import Made
from sgdflow.runs.crew import with_workers
from sgdflow.runs.evaluated import evaluated, scores_alone, scoring_roles
from sgdflow.runs.run import optimise
from sgdflow.secrets import Redactor
from sgdflow.terminal import Watch
from sgdflow.tracking import Tracker, open_tracker, store_uri

log = logging.getLogger(__name__)


def place_of(directory: str | Path | None, working: Path) -> Path:
    """Return where the records of a run go: outputs/DATE/TIME where nobody says it."""
    if directory is not None:
        said = working / at_home(directory, "directory")
        if said.exists() and not said.is_dir():
            raise ConfigError(f"directory: {said} is a file; name a folder, or a new one.")
        return said
    day, hour = datetime.now().strftime("%Y-%m-%d %H-%M-%S").split()
    place, number = working / "outputs" / day / hour, 1
    while place.exists():
        number += 1
        place = working / "outputs" / day / f"{hour}-{number}"
    return place


def check_observer(observer: Any) -> None:
    """Raise ConfigError where it could not see a descent."""
    lacks = [name for name in ("scored", "stepped") if not hasattr(observer, name)]
    if observer is not None and lacks:
        raise ConfigError(
            f"observer: {type(observer).__name__} has no {listed(lacks)}. It takes an object with "
            "scored(initial) and stepped(step)."
        )


def _gives_way(folder: Path) -> Callable[[Owner], None]:
    """Return what ends this task where another process has taken a directory over."""
    task, loop = asyncio.current_task(), asyncio.get_running_loop()

    def give_way(owner: Owner) -> None:
        if task is not None:
            loop.call_soon_threadsafe(task.cancel, f"{owner.words()} has taken {folder} over")

    return give_way


@dataclass(frozen=True, slots=True)
class Job:
    """A descent, or scores alone, ready to start."""

    prepared: Prepared
    config: Mapping[str, Any]
    prompts: Prompts
    working: Path
    observer: Observer | None = None

    async def run(self, folder: Path | None, watch: Watch) -> Result:
        """Descend, with records where there is a folder for them."""
        if folder is None:
            return await self._descend(watch)
        written = written_of(self.config)
        self._check(folder, written)
        with owned(folder, _gives_way(folder)):
            if goes_further_there(folder, written):
                RunFolder(folder).set_aside()
            return await self._recorded(RunFolder(folder), watch)

    async def evaluate(self, split: str, folder: Path, watch: Watch) -> Evaluation:
        """Score the starting parameters on a split, with records."""
        if (folder / "config.yaml").exists() or (folder / "evaluation.json").exists():
            raise ConfigError(
                f"directory: {folder} holds the records of a run; choose another directory."
            )
        written = written_of(self.config)
        says = {"split": split, "parameters": written.get("parameters")}
        ready = replace(self.prepared, config=self.prepared.config.model_copy(update=says))
        raw = Composed({**self.config, **says}, {**written, **says})
        clean = Redactor(sent(ready.calling.models, os.environ)).record
        tracker = self._tracker(scores_alone(ready.config.tracking), folder)
        found: list[Evaluation] = []
        calling = ready.calling.opened(
            self.working, os.environ, time.time(), scoring_roles(ready), str(folder)
        )
        with owned(folder, _gives_way(folder)):
            async with (
                calling as llm,
                self._shared_out(ready, llm, time.time(), str(folder)) as ready,
                watch.following(llm.spent),
            ):
                own = RunFolder(folder)
                await evaluated(ready, raw, llm, tracker, own, watch, clean, found.append)
        return found[0]

    async def score(self, examples: Sequence[Example]) -> Evaluation:
        """Score the starting parameters on examples, without records."""
        async with self._unrecorded() as (ready, llm):
            return await ready.problem.evaluator(llm)(ready.start, examples)

    @asynccontextmanager
    async def _unrecorded(
        self, asked: Collection[str] = ()
    ) -> AsyncIterator[tuple[Prepared, Client]]:
        """Open the models, with workers that share limits with this process and nobody else."""
        ready, since, account = self.prepared, time.time(), f"unrecorded {uuid4().hex}"
        calling = ready.calling.opened(self.working, os.environ, since, asked, account)
        async with calling as llm, self._shared_out(ready, llm, since, account) as ready:
            yield ready, llm

    async def _descend(self, watch: Watch) -> Result:
        async with self._unrecorded(self.prepared.roles) as (ready, llm):
            descent = Descent(
                ready.problem, ready.method, llm, self.observer or Unobserved(), watch
            )
            async with watch.following(llm.spent):
                return await descent.run(ready.start)

    async def _recorded(self, folder: RunFolder, watch: Watch) -> Result:
        ready, since = self.prepared, folder.began() or time.time()
        tracker = self._tracker(ready.config.tracking, folder.path)
        Made.by_user(os.environ).note(written_of(self.config))
        clean = Redactor(sent(ready.calling.models, os.environ)).record
        ended: list[Result] = []
        calling = ready.calling.opened(
            self.working, os.environ, since, ready.roles, str(folder.path)
        )
        async with (
            calling as llm,
            self._shared_out(ready, llm, since, str(folder.path)) as ready,
            watch.following(llm.spent),
        ):
            beside = Beside(self.observer or Unobserved(), ended)
            await optimise(ready, self.config, llm, tracker, folder, watch, clean, beside)
            log.info("  sent        %s", llm.session())
        with inside(self.working):
            keep_model(ready, self.config, self.prompts, folder.path)
        return ended[0]

    def _shared_out(
        self, ready: Prepared, llm: Client, since: float, account: str
    ) -> AbstractAsyncContextManager[Prepared]:
        how = self.prompts, self.working, llm, since, account
        return with_workers(ready, self.config, *how)

    def _tracker(self, settings: Tracking, folder: Path) -> Tracker:
        if settings.kind != "none":
            uri = store_uri(settings.uri, self.working)
            settings = settings.model_copy(update={"uri": uri})
        return open_tracker(settings, os.environ, folder)

    def _check(self, folder: Path, written: Mapping[str, Any]) -> None:
        """Raise ConfigError where the directory holds another run, or this one, finished."""
        check(folder, written)
        documents.check(folder, self.prepared.problem.graph)
        tracked = self.prepared.config.tracking.kind == "mlflow"
        if finished(folder, tracked=tracked) and not goes_further(folder, written):
            raise ConfigError(
                f"directory: {folder} holds this run, finished. sgdflow.load({str(folder)!r}) has "
                "what it learned; choose another directory to run it again."
            )


def goes_further_there(folder: Path, written: Mapping[str, Any]) -> bool:
    """Say whether the directory holds a finished run that may take more now."""
    if not (folder / "config.yaml").is_file() or not finished(folder, tracked=False):
        return False
    return goes_further(folder, written)


class Unobserved:
    """Sees nothing."""

    def scored(self, initial: Scores) -> None:
        """See nothing."""

    def stepped(self, step: Step) -> None:
        """See nothing."""


@dataclass(frozen=True, slots=True)
class Beside:
    """Sees a recorded descent beside its records, and keeps how it ended."""

    observer: Observer
    results: list[Result]

    def scored(self, initial: Scores) -> None:
        """Pass the scores before the first step on."""
        self.observer.scored(initial)

    def stepped(self, step: Step) -> None:
        """Pass a step on."""
        self.observer.stepped(step)

    def ended(self, result: Result) -> None:
        """Keep the result."""
        self.results.append(result)
