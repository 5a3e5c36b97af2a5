"""`sgdflow graph`: a declared graph as text, as Mermaid and as a picture."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from sgdflow.cli.app import run_untraced
from sgdflow.cli.describe import as_mermaid, as_text
from sgdflow.cli.picture import check_kind, write_picture
from sgdflow.cli.taking import taking
from sgdflow.config.build import build_graph, named
from sgdflow.config.job import working_directory
from sgdflow.config.legs import acting
from sgdflow.config.paths import prompt_folders
from sgdflow.config.prepare import starting_parameters, validated
from sgdflow.config.problems import build_backward
from sgdflow.homes import at_home
from sgdflow.prompting.templates import Prompts
from sgdflow.terminal import say


def graph(words: Sequence[str]) -> int:
    """Print a graph, and draw it where a picture is asked for."""
    # The rest, --help too, is Hydra's.
    parser = argparse.ArgumentParser("sgdflow graph", add_help=False, allow_abbrev=False)
    parser.add_argument("--picture", metavar="FILE")
    asked, others = parser.parse_known_args(words)
    picture = None if asked.picture is None else at_home(asked.picture, "--picture")
    if picture is not None:
        check_kind(picture)
    return run_untraced(partial(print_graph, picture=picture), taking(others))


def print_graph(raw: Mapping[str, Any], picture: Path | None = None) -> None:
    """Print the graph; draw it, too, where a file is named."""
    config = validated(raw)
    prompts = Prompts(prompt_folders(working_directory()))
    built, backward = build_graph(config.graph, prompts), acting(config.method)[-1][1].backward
    default = build_backward(backward, prompts, "method.backward") if backward else None
    parameters = starting_parameters(built, config.parameters)
    names = named(config.method, built)
    if picture is not None:
        write_picture(built, parameters, names, picture)
    say(as_text(built, parameters, names, default) + "\n\n" + as_mermaid(built, names))
