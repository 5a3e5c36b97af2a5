"""The end of a multirun's run: its status, and its jobs compared."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sgdflow.tracking.client import PARENT, STOP_REASON, TAG_LIMIT, client, reason_of

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

log = logging.getLogger(__name__)

_NOTE = "mlflow.note.content"
_BEST = "sgdflow.best"
_FINAL = "score_final/"
_CHOOSING = ("validation", "train", "test")


Compared = Callable[[Path], str]
"""Writes what there is to say of the jobs into a folder; returns it in short."""


def end_parent(uri: str, run_id: str, ended: bool, compared: Compared) -> None:
    """End the run of a multirun as its jobs ended; `ended`: Hydra reported no failure.

    A job that is still running by then was killed. A multirun none of whose jobs began leaves no
    run.
    """
    store = client(uri)
    experiment = store.get_run(run_id).info.experiment_id
    statuses = set()
    jobs = list(_jobs(store, experiment, run_id))
    for job in jobs:
        if (status := job.info.status) == "RUNNING":
            status = "KILLED"
            store.set_tag(job.info.run_id, STOP_REASON, "the multirun ended before this job did")
            store.set_terminated(job.info.run_id, status)
        statuses.add(status)
    if not statuses:
        store.delete_run(run_id)
        return
    if ended and statuses <= {"FINISHED"}:
        status = "FINISHED"
    else:
        status = "KILLED" if "KILLED" in statuses and not ended else "FAILED"
    # First: where somebody waits for the end, there may be no time for more.
    store.set_terminated(run_id, status)
    try:
        _show_best(store, run_id, jobs)
        _compare(store, run_id, compared)
    except Exception as error:
        log.warning("The multirun's run has no comparison (%s).", reason_of(error))


def _show_best(store: MlflowClient, run_id: str, jobs: Sequence[Run]) -> None:
    """Give the multirun's run the final scores of its best job, so that its row shows some.

    The best is that of the highest score on validation, where no job lacks one; else on the
    training examples, else on the test split.
    """
    ended = [job for job in jobs if job.info.status == "FINISHED"]
    for split in _CHOOSING:
        if ended and all(f"{_FINAL}{split}" in job.data.metrics for job in ended):
            best = max(ended, key=lambda job: float(job.data.metrics[f"{_FINAL}{split}"]))
            for name, value in best.data.metrics.items():
                if name.startswith(_FINAL):
                    store.log_metric(run_id, name, value)
            store.set_tag(run_id, _BEST, f"{best.info.run_name} (by its {split} score)")
            return


def _compare(store: MlflowClient, run_id: str, compared: Compared) -> None:
    """Put what `compared` says of the jobs on the run's page."""
    with tempfile.TemporaryDirectory() as place:
        text = compared(Path(place))
        for path in sorted(Path(place).iterdir()):
            store.log_artifact(run_id, str(path))
    # The page has room for a few lines only, and shows a \\$ as it stands.
    text = text.replace("\\$", "$")
    store.set_tag(run_id, _NOTE, text if len(text) <= TAG_LIMIT else "See compare.md.")


def _jobs(store: MlflowClient, experiment: str, run_id: str) -> Iterator[Any]:
    token = None
    while True:
        found = store.search_runs([experiment], f"tags.`{PARENT}` = '{run_id}'", page_token=token)
        yield from found
        if not (token := found.token):
            return
