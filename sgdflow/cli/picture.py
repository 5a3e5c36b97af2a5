"""A declared graph as a picture: an SVG file, or an HTML page around it."""

from __future__ import annotations

import html
from collections.abc import Collection
from pathlib import Path

from sgdflow.errors import ConfigError
from sgdflow.executor.graph import Graph, Parameters
from sgdflow.report.drawing import Mark, standalone

KINDS = (".svg", ".html")


def check_kind(file: Path) -> None:
    """Raise ConfigError where a picture cannot be written to a file of this name."""
    if file.suffix not in KINDS:
        raise ConfigError(f"--picture {file}: the name of a picture ends with .svg or .html.")
    if not file.parent.is_dir():
        raise ConfigError(f"--picture {file}: there is no folder {file.parent}.")


def write_picture(
    graph: Graph, parameters: Parameters, optimised: Collection[str], file: Path
) -> None:
    """Write the picture; a node that is pointed at shows its parameters."""
    predecessors = {name: () for name in graph.inputs} | {
        name: node.predecessors for name, node in graph.nodes.items()
    }
    picture = standalone(predecessors, _marks(graph, parameters, optimised), f"Graph {graph.name}")
    if file.suffix == ".html":
        name = html.escape(graph.name)
        picture = (
            '<!doctype html>\n<html lang="en"><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width"><meta name="color-scheme" '
            f'content="light dark">\n<title>{name}</title>\n{picture}</html>\n'
        )
    try:
        file.write_text(picture, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"--picture {file}: {error}") from error


def _marks(graph: Graph, parameters: Parameters, optimised: Collection[str]) -> dict[str, Mark]:
    marks = {name: Mark("input") for name in graph.inputs}
    for name, node in graph.nodes.items():
        learning = any(parameter in optimised for parameter in node.parameters.values())
        code = bool(node.forward.code)
        marks[name] = Mark(
            "code" if code else "node",
            note="optimised" if learning else "code" if code else "fixed",
            tip="\n\n".join(f"{p}: {parameters[p]}" for p in node.parameters.values()),
            output=name == graph.output,
        )
    return marks
