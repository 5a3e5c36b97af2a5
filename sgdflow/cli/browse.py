"""Commands that look at recorded runs: report, ui, compare."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sgdflow.cli.arguments import Arguments, path_of
from sgdflow.config.prepare import validated
from sgdflow.config.project import look_here
from sgdflow.errors import ConfigError
from sgdflow.terminal import say


def report(words: Sequence[str]) -> int:
    """Write the report of a run directory anew."""
    from sgdflow.config.build import expand_graph
    from sgdflow.config.documents import read_mapping
    from sgdflow.records.source import as_written
    from sgdflow.records.trust import TRUST, Made, check_looking
    from sgdflow.report import NAME, write

    parser = Arguments("sgdflow report", description=report.__doc__)
    parser.add_argument(
        "directory", type=path_of, help="what sgdflow optimize printed as last line"
    )
    parser.add_argument("--out", type=path_of, help=f"the file to write, if not its {NAME}")
    parser.add_argument("--trust", action="store_true", help=TRUST)
    options = parser.parse_args(words)
    folder, name = options.directory, str(options.directory)
    made, file = Made.by_user(os.environ), folder / "config.yaml"
    if not options.trust and file.is_file():
        check_looking(name, folder, read_mapping(file), made)
    if file.is_file() and (options.trust or made.knows(read_mapping(file))):
        look_here(Path.cwd())

    def expand(declared: Any) -> Mapping[str, Any]:
        return expand_graph(declared).model_dump(by_alias=True)

    with as_written(name):
        written = write(folder, expand, options.out)
    sys.stdout.write(f"{written}\n")
    return 0


def ui(words: Sequence[str]) -> int:
    """Open the MLflow UI on the store that the configuration names."""
    from sgdflow.config.compose import compose
    from sgdflow.tracking import store_uri
    from sgdflow.tracking.ui import serve

    parser = Arguments("sgdflow ui", description=ui.__doc__)
    parser.add_argument("--port", type=int, default=5000)
    parser.add_argument("overrides", nargs="*", help="such as tracking.uri=sqlite:///runs.db")
    options = parser.parse_args(words)
    look_here(Path.cwd())
    config = validated(compose(options.overrides))
    settings = config.tracking
    return serve(store_uri(settings.uri), options.port, experiment=settings.experiment)


def compare(words: Sequence[str]) -> int:
    """Print a table of recorded runs."""
    from sgdflow import comparison
    from sgdflow.config.compose import compose
    from sgdflow.tracking import store_uri
    from sgdflow.tracking.reading import RunReader

    if {"-h", "--help"} & set(words):
        sys.stdout.write(comparison.USAGE)
        return 0
    request = comparison.parse(words)
    look_here(Path.cwd())
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
    table = comparison.compare(
        group, request, goal, lambda run: reader.examples(run, request.score)
    )
    written: Sequence[Path] = ()
    if request.out:
        written = comparison.write_folder(table, request.out, progress, request.on, reader.texts)
    say(comparison.as_text(table))
    sys.stdout.write("".join(f"{path}\n" for path in written))
    return 0
