"""`sgdflow plan`: what optimising would take."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from sgdflow.cli.app import run_untraced
from sgdflow.cli.taking import taken_words, taking
from sgdflow.config.job import sweep_words, working_directory
from sgdflow.config.paths import prompt_folders
from sgdflow.config.prepare import prepare
from sgdflow.config.project import hiding
from sgdflow.plan.table import as_text
from sgdflow.plan.totals import make_plan
from sgdflow.prompting.templates import Prompts
from sgdflow.terminal import say


def plan(words: Sequence[str]) -> int:
    """Print what optimize would take with the same words; nothing is sent."""
    return run_untraced(print_plan, taking(words))


def print_plan(raw: Mapping[str, Any]) -> None:
    """Print what optimising would take."""
    prepared = prepare(raw, Prompts(prompt_folders(working_directory())), None)
    prices = prepared.calling.prices(os.environ)
    notices = [notice.text for notice in prepared.notices]
    more = [taken_words(), hiding(working_directory()), *notices]
    said = "".join(f"{text}\n" for text in more if text)
    say(f"{sweep_words()}{as_text(make_plan(prepared, prices))}\n{said}")
