"""The report of a run: what happened, on one page."""

from sgdflow.report.run_page import NAME, Expand, run_page, write

__all__ = ["NAME", "Expand", "run_page", "write"]
