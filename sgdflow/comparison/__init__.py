"""Compares recorded runs; importing this imports neither MLflow nor scipy nor matplotlib."""

from sgdflow.comparison.files import write_folder, write_jobs
from sgdflow.comparison.outcomes import Goal
from sgdflow.comparison.request import USAGE, Request, parse
from sgdflow.comparison.table import Comparison, compare
from sgdflow.comparison.text import as_markdown, as_text

__all__ = [
    "USAGE",
    "Comparison",
    "Goal",
    "Request",
    "as_markdown",
    "as_text",
    "compare",
    "parse",
    "write_folder",
    "write_jobs",
]
