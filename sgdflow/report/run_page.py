"""From a run directory to its page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

from sgdflow.errors import ConfigError
from sgdflow.report import overview
from sgdflow.report.findings import blame, histories, selection
from sgdflow.report.page import element, page, section
from sgdflow.report.page_data import calls_data, run_data
from sgdflow.report.reading import Run, read, shape_of
from sgdflow.report.tree import tree
from sgdflow.report.worth import worth

NAME = "report.html"
"""Of the file in a run directory."""

Expand = Callable[[Any], Mapping[str, Any]]
"""Calls the `_target_` that a graph may be declared by; returns the declaration with its nodes."""


def write(folder: Path, expand: Expand, out: Path | None = None) -> Path:
    """Write the report of a run directory, into it if not said otherwise; raises ConfigError."""
    file = out or folder / NAME
    if file.is_dir():
        raise ConfigError(f"{file} is a folder: name the file in it, --out {file / NAME}.")
    text = run_page(read(folder), expand)
    new = file.with_name(f"{file.name}.new")
    try:
        new.write_text(text, encoding="utf-8", newline="\n")
        new.replace(file)
    except OSError as error:
        raise ConfigError(f"{file} cannot be written: {error.strerror}.") from error
    return file


def run_page(run: Run, expand: Expand) -> str:
    """Return the report."""
    shape = shape_of(expand(run.config.get("graph")))
    select, found = selection(run.config), histories(shape, run)
    body = element(
        "main",
        overview.header(run, shape),
        overview.changes(found),
        overview.scores(run),
        overview.graph(shape, blame(shape, run.steps, run.config), select),
        overview.curve(run),
        tree(run),
        overview.steps(run),
        worth(run),
        overview.spent(run),
        section("Worst examples", "examples", element("div", id="worst")),
        element("noscript", element("p", "Texts, gradients and prompts need JavaScript.")),
    )
    data = run_data(run, shape, found, select.asks)
    data["ended"] = run.result is not None
    return page(overview.title_of(run, shape), [body, _panel()], data, calls_data(run))


def _panel() -> Element:
    close = element("button", "Close", id="close", type="button", title="Escape")
    heading = element("h2", id="panel-title", tabindex=-1)
    return element(
        "aside",
        element("div", heading, close, class_="bar"),
        element("div", id="panel-body"),
        id="panel",
        aria_labelledby="panel-title",
        hidden="",
    )
