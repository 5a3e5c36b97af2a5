"""What the commands do with a composed configuration."""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sgdflow.config.prepare import Prepared, prepare, validated
from sgdflow.config.schema import StoreConf
from sgdflow.errors import ConfigError
from sgdflow.llm import Metered
from sgdflow.llm.store import DEFAULT, Store
from sgdflow.paths import prompt_folders
from sgdflow.prompts import Prompts
from sgdflow.records import RunFolder
from sgdflow.resume import check, finished
from sgdflow.stopping import run

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

    async def job(llm: Metered) -> dict[str, Any]:
        return await optimise(prepared, raw, llm, tracker, folder)

    try:
        record = run(_with_models(prepared, folder, job))
    except ConfigError:  # found before anything began
        raise
    except BaseException:
        log.info("To go on where it stopped: the same command with %s", _same_directory())
        raise
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

    async def job(llm: Metered) -> dict[str, Any]:
        return await score(prepared, llm, folder)

    record = run(_with_models(prepared, folder, job))
    sys.stdout.write(f"{folder.path}\n")
    return float(record["score"]["mean"]) if record["score"] else None


def graph(raw: Mapping[str, Any]) -> None:
    """Print the graph."""
    from sgdflow.config.build import build_graph, named
    from sgdflow.config.prepare import starting_parameters
    from sgdflow.describe import as_mermaid, as_text

    config = validated(raw)
    built = build_graph(config.graph, _prompts())
    parameters = starting_parameters(built, config.parameters)
    names = named(config.method, built)
    sys.stdout.write(as_text(built, parameters, names, config) + "\n\n" + as_mermaid(built, names))


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
    return serve(store_uri(config.tracking.uri), options.port)


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
    goal = None
    if request.reach is not None:
        progress = {run.id: reader.progress(run, request.on) for run in group.runs}
        goal = comparison.Goal(request.reach, request.on, progress)
    table = comparison.compare(group, request, goal)
    written = comparison.write_folder(table, request.out) if request.out else ()
    sys.stdout.write(comparison.as_text(table))
    sys.stdout.write("".join(f"{path}\n" for path in written))
    return 0


async def _with_models(prepared: Prepared, folder: RunFolder, job: Any) -> Any:
    from sgdflow.llm.client import LiteLLM

    seed = prepared.config.seed
    with _store(prepared.config.llm.store, folder) as store:
        async with LiteLLM(prepared.models, prepared.limits, os.environ, store, seed) as llm:
            try:
                return await job(llm)
            finally:
                log.info("  sent        %s", llm.session())


@contextmanager
def _store(conf: StoreConf, folder: RunFolder) -> Iterator[Store | None]:
    """Open the declared store of replies."""
    if conf.mode == "off":
        yield None
        return
    from sgdflow.app import working_directory

    file = Path(working_directory()) / Path(conf.path or DEFAULT).expanduser()
    # What a killed run had refreshed is not asked for again.
    with closing(Store(file, conf.mode, folder.began() or time.time())) as store:
        yield store


def _say_where(prepared: Prepared, folder: RunFolder) -> None:
    """Say where the results are; the run directory's path is the last line."""
    from sgdflow.tracking.store import masked

    lines = []
    if prepared.config.tracking.kind == "mlflow":
        uri = masked(prepared.config.tracking.uri or "")
        lines.append(f"Browse it: {_this_program()} ui{f' tracking.uri={uri}' if uri else ''}")
    sys.stdout.write("\n".join([*lines, str(folder.path)]) + "\n")


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
