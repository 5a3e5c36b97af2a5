"""`sgdflow export` and `sgdflow predict`: take a run's graph elsewhere, and let it answer."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from sgdflow.api import Flow, load
from sgdflow.cli.arguments import Arguments, path_of
from sgdflow.cli.stopping import run
from sgdflow.config.graph_schema import shown_images
from sgdflow.deploy.export import folder_name
from sgdflow.deploy.predict import Prediction, check_rows
from sgdflow.errors import ConfigError, did_you_mean, listed, looked_in, plural
from sgdflow.records.trust import TRUST

_SOURCE = "a run directory, an exported folder, or the id of a run in MLflow"
_OVERRIDES = "such as llm=openai, llm.api_base=URL, tracking.uri=sqlite:///runs.db"
FAILED = 3
"""Exit code where some row has no output."""


def export(words: Sequence[str]) -> int:
    """Write all that a run's graph needs to answer into a folder of its own."""
    parser = Arguments("sgdflow export", description=export.__doc__)
    parser.add_argument("run", help=_SOURCE)
    parser.add_argument("overrides", nargs="*", default=[], help=_OVERRIDES)
    parser.add_argument("--trust", action="store_true", help=TRUST)
    parser.add_argument("--to", type=path_of, metavar="DIR", help="default: the graph's name")
    asked = parser.parse_intermixed_args(words)
    flow = load(asked.run, *asked.overrides, trust=asked.trust)
    folder = flow.export(asked.to or Path(folder_name(flow.graph.name)))
    sys.stdout.write(f"{folder}\n")
    return 0


def predict(words: Sequence[str]) -> int:
    """Run a graph on JSON lines, each an object with the graph's inputs.

    Writes one line for each, in order: {"output": ...}, or {"error": ...} where there is none.
    """
    parser = Arguments(
        "sgdflow predict", description=f"{predict.__doc__} Exit code {FAILED}: some row has none."
    )
    parser.add_argument("run", help=_SOURCE)
    parser.add_argument("overrides", nargs="*", default=[], help=_OVERRIDES)
    parser.add_argument("--trust", action="store_true", help=TRUST)
    parser.add_argument("--input", type=path_of, metavar="FILE", help="default: standard input")
    parser.add_argument("--output", type=path_of, metavar="FILE", help="default: standard output")
    parser.add_argument("--node", help="whose value is the output; default: the graph's output")
    asked = parser.parse_intermixed_args(words)
    if others := [word for word in asked.overrides if not word.startswith(("llm", "tracking."))]:
        file = "" if "=" in others[0] else f" A file of rows is named with --input {others[0]}."
        raise ConfigError(f"{others[0]}: predict changes nothing but llm.{file}")
    flow = load(asked.run, *asked.overrides, trust=asked.trust)
    nodes = flow.graph.nodes
    if asked.node is not None and asked.node not in nodes:
        raise ConfigError(
            f"--node: there is no node '{asked.node}'.{did_you_mean(asked.node, nodes)} "
            f"There are: {listed(nodes)}."
        )
    if asked.input:
        with _lines(asked.input) as lines:
            images = shown_images(flow.program.conf)
            check_rows(lines, flow.graph.inputs, str(asked.input), images)
    with _lines(asked.input) as lines, _writing(asked.output) as output:
        return _answer(flow, lines, output, asked.node)


def _answer(flow: Flow, lines: Iterator[str], output: TextIO, node: str | None) -> int:
    rows = failed = 0

    def write(prediction: Prediction) -> None:
        nonlocal rows, failed
        rows, failed = rows + 1, failed + (prediction.error is not None)
        output.write(prediction.as_json() + "\n")
        output.flush()

    run(flow.apredict_lines(lines, write, node))
    if not rows:
        sys.stderr.write("The input has no row, so there is no output.\n")
    elif failed == rows:
        sys.stderr.write(f"No output for {plural(rows, 'row')}; each says why.\n")
    elif failed:
        has = "has" if failed == 1 else "have"
        sys.stderr.write(f"{failed} of {plural(rows, 'row')} {has} no output; each says why.\n")
    return 0 if rows and not failed else FAILED if failed < rows else 1


@contextmanager
def _lines(file: Path | None) -> Iterator[Iterator[str]]:
    try:
        # Not sys.stdin: a thread that waits on it would hold up the end of the program.
        # Bytes that are no UTF-8 spoil their own line alone.
        with open(
            file or 0, encoding="utf-8-sig", errors="surrogateescape", closefd=file is not None
        ) as opened:
            yield opened
    except FileNotFoundError as error:
        told = f"--input: there is no file {file}.{looked_in(file or '')}"
        raise ConfigError(told) from error
    except (IsADirectoryError, PermissionError, UnicodeDecodeError) as error:
        raise ConfigError(f"--input: {file} cannot be read: {error}") from error


@contextmanager
def _writing(file: Path | None) -> Iterator[TextIO]:
    if file is None:
        yield sys.stdout
        return
    try:
        opened = file.open("w", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"--output: {file} cannot be written: {error}") from error
    with opened:
        yield opened
