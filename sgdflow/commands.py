"""What the commands do with a composed configuration."""

from __future__ import annotations

import argparse
import logging
import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

from sgdflow.budget import forward_roles
from sgdflow.config.prepare import Prepared, prepare, validated
from sgdflow.errors import ConfigError
from sgdflow.llm import Metered
from sgdflow.paths import prompt_folders
from sgdflow.prompts import Prompts
from sgdflow.records import RunFolder
from sgdflow.resume import check, finished
from sgdflow.serving import keep_model
from sgdflow.stopping import run
from sgdflow.terminal import Watch, watching

log = logging.getLogger(__name__)


def optimize(raw: Mapping[str, Any]) -> float | None:
    """Optimise; return the final validation score (or training score) for a sweeper."""
    from sgdflow.run import optimise
    from sgdflow.tracking import open_tracker

    path = Path(_run_directory())
    check(path, raw)
    if ended := finished(path):
        log.info("%s holds this run, finished: nothing to do.", path)
        return _objective(ended)
    prepared = prepare(raw, _prompts(), os.environ)
    folder = RunFolder(path)
    tracker = open_tracker(prepared.config.tracking, os.environ, path)

    async def job(llm: Metered, watch: Watch) -> dict[str, Any]:
        return await optimise(prepared, raw, llm, tracker, folder, watch)

    try:
        record = _run(prepared, folder, job, prepared.roles)
    except ConfigError:  # found before anything began
        raise
    except BaseException:
        log.info("To go on where it stopped: the same command with %s", _same_directory())
        raise
    keep_model(prepared, raw, _prompts(), path)
    _say_where(prepared, folder)
    return _objective(record)


def _objective(record: Mapping[str, Any]) -> float | None:
    for split in ("validation", "train"):
        if final := record["scores"][split]["final"]:
            return float(final["mean"])
    return None


def evaluate(raw: Mapping[str, Any]) -> float | None:
    """Score a graph with given parameters on a split; return the mean score."""
    from sgdflow.run import evaluate as score

    prepared = prepare(raw, _prompts(), os.environ)
    split = prepared.config.split
    if not getattr(prepared.problem.splits, split):
        raise ConfigError(f"split: the {split} split has no examples (task.splits.{split}).")
    folder = RunFolder(Path(_run_directory()))

    async def job(llm: Metered, watch: Watch) -> dict[str, Any]:
        return await score(prepared, llm, folder, watch)

    record = _run(prepared, folder, job, forward_roles(prepared.problem.graph))
    sys.stdout.write(f"{folder.path}\n")
    return float(record["score"]["mean"]) if record["score"] else None


def graph(raw: Mapping[str, Any], picture: Path | None = None) -> None:
    """Print the graph; draw it, too, where a file is named."""
    from sgdflow.config.build import build_graph, named
    from sgdflow.config.prepare import starting_parameters
    from sgdflow.describe import as_mermaid, as_text

    config = validated(raw)
    built = build_graph(config.graph, _prompts())
    parameters = starting_parameters(built, config.parameters)
    names = named(config.method, built)
    if picture is not None:
        from sgdflow.picture import write_picture

        write_picture(built, parameters, names, picture)
    sys.stdout.write(as_text(built, parameters, names, config) + "\n\n" + as_mermaid(built, names))


def plan(raw: Mapping[str, Any]) -> None:
    """Print what optimising would take."""
    from sgdflow.app import sweep_words
    from sgdflow.llm.backend import price_of
    from sgdflow.plan import as_text, make_plan

    prepared = prepare(raw, _prompts(), None)
    prices = {role: price_of(spec) for role, spec in prepared.calling.models.items()}
    sys.stdout.write(f"{sweep_words()}{as_text(make_plan(prepared, prices))}\n")


def report(words: Sequence[str]) -> int:
    """Write the report of a run directory anew."""
    from sgdflow.config.build import expand_graph
    from sgdflow.report import NAME, write

    parser = argparse.ArgumentParser("sgdflow report", description=report.__doc__)
    parser.add_argument("directory", type=Path, help="what sgdflow optimize printed as last line")
    parser.add_argument("--out", type=Path, help=f"the file to write, if not its {NAME}")
    options = parser.parse_args(words)

    def expand(declared: Any) -> Mapping[str, Any]:
        return expand_graph(declared).model_dump(by_alias=True)

    sys.stdout.write(f"{write(options.directory, expand, options.out)}\n")
    return 0


def ui(words: Sequence[str]) -> int:
    """Open the MLflow UI on the store that the configuration names."""
    from sgdflow.app import compose
    from sgdflow.tracking import store_uri
    from sgdflow.tracking.ui import serve

    parser = argparse.ArgumentParser("sgdflow ui", description=ui.__doc__)
    parser.add_argument("--port", type=int, default=5000)
    parser.add_argument("overrides", nargs="*", help="such as tracking.uri=sqlite:///runs.db")
    options = parser.parse_args(words)
    config = validated(compose(options.overrides))
    settings = config.tracking
    return serve(store_uri(settings.uri), options.port, experiment=settings.experiment)


def compare(words: Sequence[str]) -> int:
    """Print a table of recorded runs."""
    from sgdflow import comparison
    from sgdflow.app import compose
    from sgdflow.tracking import store_uri
    from sgdflow.tracking.reading import RunReader

    if {"-h", "--help"} & set(words):
        sys.stdout.write(comparison.USAGE)
        return 0
    request = comparison.parse(words)
    settings = validated(compose(request.overrides)).tracking
    if settings.kind == "none":
        raise ConfigError("tracking=none names no store: there is nothing to compare.")
    reader = RunReader(store_uri(settings.uri))
    group = reader.group(request.selection)
    goal, progress = None, {}
    if request.reach is not None or request.out is not None:
        progress = {run.id: reader.progress(run, request.on) for run in group.runs}
    if request.reach is not None:
        goal = comparison.Goal(request.reach, request.on, progress)
    table = comparison.compare(group, request, goal)
    written = (
        comparison.write_folder(table, request.out, progress, request.on) if request.out else ()
    )
    sys.stdout.write(comparison.as_text(table))
    sys.stdout.write("".join(f"{path}\n" for path in written))
    return 0


Job = Callable[[Metered, Watch], Coroutine[Any, Any, dict[str, Any]]]


def _run(prepared: Prepared, folder: RunFolder, job: Job, asked: Collection[str]) -> dict[str, Any]:
    """Do the job with its models, and show on a terminal how far it has come."""
    from sgdflow.app import in_multirun

    wanted = log.isEnabledFor(logging.INFO) and not in_multirun()
    with watching(sys.stdout, sys.stderr, wanted=wanted) as watch:
        return run(_with_models(prepared, folder, job, asked, watch))


async def _with_models(
    prepared: Prepared, folder: RunFolder, job: Job, asked: Collection[str], watch: Watch
) -> dict[str, Any]:
    from sgdflow.app import working_directory

    # What a killed run had refreshed is not asked for again.
    since = folder.began() or time.time()
    working = Path(working_directory())
    async with prepared.calling.opened(working, os.environ, since, asked) as models:
        try:
            async with watch.following(models.spent):
                return await job(models, watch)
        finally:
            log.info("  sent        %s", models.session())


def _say_where(prepared: Prepared, folder: RunFolder) -> None:
    """Say where the results are; the run directory's path is the last line."""
    from sgdflow.app import in_multirun
    from sgdflow.tracking.store import masked

    program = _this_program()
    lines = [] if in_multirun() else [f"Read it:   {program} show {_shown(folder.path)}"]
    if prepared.config.tracking.kind == "mlflow":
        uri = masked(prepared.config.tracking.uri or "")
        lines.append(f"Browse it: {program} ui{f' tracking.uri={uri}' if uri else ''}")
    sys.stdout.write("\n".join([*lines, str(folder.path)]) + "\n")


def _shown(path: Path) -> str:
    """Return a path as it is typed where the command was given."""
    from sgdflow.app import working_directory

    here = Path(working_directory())
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))


def _this_program() -> str:
    """Return what to type for this program, also where its folder is not on the path."""
    found = shutil.which("sgdflow")
    if Path(sys.argv[0]).name != "sgdflow":
        return "python -m sgdflow"
    return "sgdflow" if found and Path(found).samefile(sys.argv[0]) else sys.argv[0]


def _prompts() -> Prompts:
    return Prompts(prompt_folders(Path.cwd()))


def _same_directory() -> str:
    from sgdflow.app import same_directory

    return same_directory()


def _run_directory() -> str:
    from sgdflow.app import run_directory

    return run_directory()
