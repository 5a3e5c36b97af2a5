"""`sgdflow optimize`, `sgdflow evaluate` and `sgdflow probe`."""

from __future__ import annotations

import logging
import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sgdflow.cli.app import Aims, run_hydra
from sgdflow.cli.stopping import asked_to_stop, give_way, run
from sgdflow.cli.taking import taken_words, taking
from sgdflow.config.job import (
    aims,
    in_multirun,
    run_directory,
    same_directory,
    together,
    where_given,
    working_directory,
)
from sgdflow.config.paths import prompt_folders
from sgdflow.config.prepare import Prepared, prepare
from sgdflow.config.project import VARIABLE, hiding
from sgdflow.config.task import Notice
from sgdflow.config.written import written_of
from sgdflow.deploy.model import keep_model
from sgdflow.errors import ConfigError, listed, plural
from sgdflow.llm import Metered
from sgdflow.llm.credentials import sent
from sgdflow.prompting.templates import Prompts
from sgdflow.records import RunFolder, chosen_score, documents
from sgdflow.records.owner import owned
from sgdflow.records.resume import check, finished, goes_further
from sgdflow.records.trust import Made
from sgdflow.report import NAME
from sgdflow.secrets import Redactor
from sgdflow.terminal import Watch, watching

log = logging.getLogger(__name__)


_TWO = 2  # score and cost
_RESUME = "+hydra.callbacks.resume._target_=sgdflow.cli.guard.Resume"


def optimize(words: Sequence[str]) -> int:
    """Optimise the parameters of a graph, once or in each job of a multirun."""
    return run_hydra(run_optimize, taking(words), [_RESUME])


def evaluate(words: Sequence[str]) -> int:
    """Score a graph with given parameters on a split."""
    return run_hydra(run_evaluate, taking(words))


def probe(words: Sequence[str]) -> int:
    """Ask, with a few calls, whether optimising is worth it, and how."""
    return run_hydra(run_probe, taking(words))


def run_optimize(raw: Mapping[str, Any]) -> Aims:
    """Optimise; return the final validation score (or training score) for a sweeper.

    A sweeper with two directions gets the cost, too.
    """
    path = Path(run_directory())
    check(path, written_of(raw))
    if (path / documents.DOCUMENTS).is_file():
        documents.check(path, _prepared(raw).problem.graph)
    ended = finished(path, tracked=raw["tracking"]["kind"] == "mlflow")
    further = ended is not None and goes_further(path, written_of(raw))
    if ended is not None and not further:
        log.info("%s holds this run, finished: nothing to do.", path)
        sys.stdout.write(f"{path}\n")
        return _objective(ended)
    prepared = _prepared(raw)
    if aims() > 1:
        _check_prices(prepared)
    with owned(path, give_way):
        check(path, written_of(raw))  # another start may have been here meanwhile
        if further and ended is not None:
            told = "%s holds this run, finished after %s: going on from there."
            log.info(told, path, plural(ended["steps"], "step"))
            RunFolder(path).set_aside()
        return _objective(_optimised(prepared, raw, RunFolder(path)))


def _optimised(prepared: Prepared, raw: Mapping[str, Any], folder: RunFolder) -> Mapping[str, Any]:
    """Optimise, log the model and say where everything is; return result.json."""
    from sgdflow.runs.run import optimise
    from sgdflow.tracking import open_tracker

    tracker = open_tracker(prepared.config.tracking, os.environ, folder.path)
    Made.by_user(os.environ).note(written_of(raw))

    async def job(ready: Prepared, llm: Metered, watch: Watch) -> dict[str, Any]:
        return await optimise(ready, raw, llm, tracker, folder, watch, _clean(prepared))

    try:
        record = _run(prepared, raw, folder, job, prepared.roles)
    except ConfigError:  # found before anything began
        raise
    except BaseException:
        log.info("%s", _farewell())
        raise
    with where_given():
        if not asked_to_stop():  # the result stands, and the model is only a copy of it
            keep_model(prepared, raw, _prompts(), folder.path)
    _say_where(prepared, folder)
    return record


def _objective(record: Mapping[str, Any]) -> Aims:
    chosen, wanted = chosen_score(record), aims()
    if chosen is None and wanted:
        raise ConfigError(
            "The sweeper has no score to go by: neither task.splits.validation nor "
            "task.splits.train has examples that were scored."
        )
    if chosen is None or wanted < _TWO:
        return chosen[1] if chosen else None
    if unknown := [role for role, cost in record["cost"].items() if cost is None]:
        raise ConfigError(
            f"The sweeper wants the cost, and that of {listed(unknown)} is not known: a reply came "
            "without its number of tokens, or a model has no price. Declare it in llm.prices, or "
            "aim at the score alone with hydra.sweeper.direction=maximize."
        )
    return chosen[1], float(sum(record["cost"].values()))


def _check_aims(command: str) -> None:
    """Raise ConfigError where a sweeper wants more numbers of a command than it has."""
    if aims() >= _TWO:
        raise ConfigError(
            f"hydra.sweeper.direction asks for score and cost, and {command} has one number. Aim "
            "at one with hydra.sweeper.direction=maximize, or sweep with optimize."
        )


def _check_prices(prepared: Prepared) -> None:
    """Raise ConfigError where a sweeper wants the cost, and a price is known to nobody."""
    found = prepared.calling.prices(os.environ)
    specs = prepared.calling.models
    if unknown := sorted({specs[role].model for role, price in found.items() if price is None}):
        raise ConfigError(
            "hydra.sweeper.direction asks for score and cost, and nobody knows the price of "
            f"{listed(unknown)}: declare it in llm.prices, or aim at the score alone with "
            "hydra.sweeper.direction=maximize."
        )


def run_evaluate(raw: Mapping[str, Any]) -> float | None:
    """Score a graph with given parameters on a split; return the mean score."""
    _check_aims("evaluate")
    from sgdflow.runs.evaluated import evaluated, scores_alone, scoring_roles
    from sgdflow.tracking import open_tracker

    prepared = _prepared(raw)
    split = prepared.config.split
    if not getattr(prepared.problem.splits, split):
        raise ConfigError(f"split: the {split} split has no examples (task.splits.{split}).")
    path = Path(run_directory())
    with owned(path, give_way):
        folder = RunFolder(path)
        tracker = open_tracker(scores_alone(prepared.config.tracking), os.environ, path)
        clean = _clean(prepared)

        async def job(ready: Prepared, llm: Metered, watch: Watch) -> dict[str, Any]:
            return await evaluated(ready, raw, llm, tracker, folder, watch, clean)

        record = _run(prepared, raw, folder, job, scoring_roles(prepared))
    sys.stdout.write(f"{path}\n")
    return float(record["score"]["mean"])


def run_probe(raw: Mapping[str, Any]) -> float | None:
    """Probe a run before it is made; return how much is lacking."""
    _check_aims("probe")
    from sgdflow.plan.totals import make_plan
    from sgdflow.probe.sizes import problems
    from sgdflow.runs.evaluated import scores_alone, scoring_roles
    from sgdflow.runs.probed import probed
    from sgdflow.tracking import open_tracker

    prepared, prompts = _prepared(raw), _prompts()
    if found := list(problems(prepared, prompts)):
        raise ConfigError("\n".join(found))
    path, plan = Path(run_directory()), make_plan(prepared, prepared.calling.prices(os.environ))
    with owned(path, give_way):
        folder = RunFolder(path)
        tracker, clean = (
            open_tracker(scores_alone(prepared.config.tracking), os.environ, path),
            _clean(prepared),
        )

        async def job(ready: Prepared, llm: Metered, watch: Watch) -> dict[str, Any]:
            return await probed(ready, prompts, plan, raw, llm, tracker, folder, watch, clean)

        record = _run(prepared, raw, folder, job, scoring_roles(prepared))
    sys.stdout.write(f"{path}\n")
    return float(record["start"]["lacking"])


def _clean(prepared: Prepared) -> Callable[[Any], Any]:
    """Return what takes the secrets that are sent with calls out of records."""
    return Redactor(sent(prepared.calling.models, os.environ)).record


Job = Callable[[Prepared, Metered, Watch], Coroutine[Any, Any, dict[str, Any]]]


def _run(
    prepared: Prepared,
    raw: Mapping[str, Any],
    folder: RunFolder,
    job: Job,
    asked: Collection[str],
) -> dict[str, Any]:
    """Do the job with its models, and show how far it has come."""
    wanted, alone = log.isEnabledFor(logging.INFO), not in_multirun()
    with watching(sys.stdout, sys.stderr, wanted=wanted, alone=alone) as watch:
        return run(_with_models(prepared, raw, folder, job, asked, watch), _farewell())


def _farewell() -> str:
    return f"To go on where it stopped: the same command with {same_directory()}"


async def _with_models(
    prepared: Prepared,
    raw: Mapping[str, Any],
    folder: RunFolder,
    job: Job,
    asked: Collection[str],
    watch: Watch,
) -> dict[str, Any]:
    from sgdflow.runs.crew import with_workers

    # What a killed run had refreshed is not asked for again.
    since = folder.began() or time.time()
    working = working_directory()
    async with prepared.calling.opened(working, os.environ, since, asked, together()) as models:
        try:
            here = _prompts(), working, models, since, together()
            async with with_workers(prepared, raw, *here) as ready, watch.following(models.spent):
                return await job(ready, models, watch)
        finally:
            log.info("  sent        %s", models.session())


def _say_where(prepared: Prepared, folder: RunFolder) -> None:
    """Say where the results are; the run directory's path is the last line."""
    from sgdflow.secrets import masked

    program = _this_program()
    lines = []
    if not in_multirun():
        lines.append(f"Read it:   {program} show {_shown(folder.path)}")
        if (folder.path / NAME).is_file():
            lines.append(f"Open it:   {_shown(folder.path / NAME)}")
    if prepared.config.tracking.kind == "mlflow":
        uri = masked(prepared.config.tracking.uri or "")
        lines.append(f"Browse it: {program} ui{f' tracking.uri={uri}' if uri else ''}")
    sys.stdout.write("\n".join([*lines, str(folder.path)]) + "\n")


def _shown(path: Path) -> str:
    """Return a path as it is typed where the command was given."""
    here = working_directory()
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))


def _this_program() -> str:
    """Return what to type for this program, also where its folder is not on the path."""
    found, project = shutil.which("sgdflow"), os.environ.get(VARIABLE)
    there = f" --project {shlex.quote(project)}" if project else ""
    if Path(sys.argv[0]).name != "sgdflow":
        return f"python -m sgdflow{there}"
    same = found is not None and Path(found).samefile(sys.argv[0])
    return f"{'sgdflow' if same else sys.argv[0]}{there}"


def _prompts() -> Prompts:
    return Prompts(prompt_folders(working_directory()))


def _prepared(raw: Mapping[str, Any]) -> Prepared:
    with where_given():
        ready = prepare(raw, _prompts(), os.environ)
        more = [text for text in (taken_words(), hiding(working_directory())) if text]
        return replace(ready, notices=(*map(Notice, more), *ready.notices))
