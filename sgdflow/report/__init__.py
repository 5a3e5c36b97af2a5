"""The report of a run: what happened, on one page."""
