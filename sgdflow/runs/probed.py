"""A probe with what it leaves behind: its words, its record, also in MLflow."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

from sgdflow.config.prepare import Prepared
from sgdflow.config.written import written_of
from sgdflow.executor.progress import Progress
from sgdflow.llm import Metered, Spent
from sgdflow.plan.totals import Plan
from sgdflow.probe.advice import advise
from sgdflow.probe.probing import probe
from sgdflow.probe.record import probe_record
from sgdflow.probe.words import probe_words
from sgdflow.prompting.templates import Prompts
from sgdflow.records import FORMAT, RunFolder, spent_record
from sgdflow.runs.evaluated import tracked
from sgdflow.runs.run import Clean, about, tell
from sgdflow.tracking import PROBE, Tracker

log = logging.getLogger(__name__)


async def probed(
    prepared: Prepared,
    prompts: Prompts,
    plan: Plan,
    raw: Mapping[str, Any],
    llm: Metered,
    tracker: Tracker,
    folder: RunFolder,
    progress: Progress,
    clean: Clean,
) -> dict[str, Any]:
    """Probe, say what was found and what is recommended, and record it."""
    began = time.monotonic()
    with tracked(tracker, prepared, written_of(raw), PROBE, "probe"):
        tell(prepared)
        found = await probe(prepared, prompts, llm, progress)
        advice = advise(prepared, found)
        said = probe_record(found, advice, plan)
        words = [*probe_words(found, advice, said["plan"], prepared.config.probe.calls)]
        record: dict[str, Any] = clean(
            {
                "format": FORMAT,
                **about(prepared),
                **said,
                "words": words,
                **spent_record(llm.spent(), llm.by_node()),
                "faults": dict(sum(llm.spent().values(), Spent()).faults),
                "seconds": round(time.monotonic() - began, 3),
            }
        )
        folder.finish(record, "probe.json")
        folder.check()
        log.info("%s", "\n".join(record["words"]))
        tracker.probed(record, folder.path)
    return record
