"""`sgdflow skill`: a guide for coding agents."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from sgdflow.cli.arguments import Arguments, path_of
from sgdflow.cli.init import write_project
from sgdflow.config.paths import skills


def skill(words: Sequence[str]) -> int:
    """Write a guide with which a coding agent can declare, check, optimise and read a graph.

    A folder with a SKILL.md: put it where your agent looks for skills.
    """
    parser = Arguments("sgdflow skill", description=skill.__doc__)
    parser.add_argument(
        "directory", type=path_of, nargs="?", default=Path("skills"), metavar="DIR",
        help="where the folder sgdflow is made (default: skills)",
    )  # fmt: skip
    asked = parser.parse_intermixed_args(words)
    for path in write_project(skills(), asked.directory, "sgdflow skill DIR"):
        sys.stdout.write(f"{path}\n")
    return 0
