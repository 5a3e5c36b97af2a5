"""Finds what is wrong with a run that has not begun, without a call."""

from sgdflow.inspection.data import data_findings
from sgdflow.inspection.findings import Finding
from sgdflow.inspection.prompts import Rehearsed, prompt_findings, rehearsed, used_variables
from sgdflow.inspection.scorers import scorer_findings

__all__ = [
    "Finding",
    "Rehearsed",
    "data_findings",
    "prompt_findings",
    "rehearsed",
    "scorer_findings",
    "used_variables",
]
