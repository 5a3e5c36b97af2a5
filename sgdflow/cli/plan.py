"""`sgdflow plan`: what optimising would take."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sgdflow.cli.app import NO_TRACE, run_hydra
from sgdflow.config.job import sweep_words
from sgdflow.config.paths import prompt_folders
from sgdflow.config.prepare import prepare
from sgdflow.plan.table import as_text
from sgdflow.plan.totals import make_plan
from sgdflow.prompting.templates import Prompts


def plan(words: Sequence[str]) -> int:
    """Print what optimize would take with the same words; nothing is sent."""
    with TemporaryDirectory() as folder:  # Hydra notes each sweep somewhere
        no_trace = [*NO_TRACE, f"hydra.sweep.dir={folder}", "~hydra.callbacks.sweep"]
        return run_hydra(print_plan, words, no_trace)


def print_plan(raw: Mapping[str, Any]) -> None:
    """Print what optimising would take."""
    prepared = prepare(raw, Prompts(prompt_folders(Path.cwd())), None)
    calling = prepared.calling
    prices = {role: calling.backend.price_of(spec) for role, spec in calling.models.items()}
    sys.stdout.write(f"{sweep_words()}{as_text(make_plan(prepared, prices))}\n")
