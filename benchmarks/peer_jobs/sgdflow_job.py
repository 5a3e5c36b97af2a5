"""The job in sgdflow, with what is shipped for hosted providers; records and MLflow apart."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from job import FAILURES, INSTRUCTIONS, MODEL, QUESTIONS, Work, measured

import sgdflow
from sgdflow.descent import Descent, Scores, Step


def prepare(url: str) -> Work:
    """Return the job."""
    graph = {
        "name": "hints",
        "inputs": ["question"],
        "nodes": {
            name: {
                "predecessors": ["question", *(["hint_1", "hint_2"] if name == "answer" else [])],
                "parameters": {"instruction": text},
            }
            for name, text in INSTRUCTIONS.items()
        },
        "output": "answer",
    }
    right = set(QUESTIONS[FAILURES:])
    flow = sgdflow.Flow(
        "llm=openai", f"llm.api_base={url}", "llm.models.forward=openai/" + MODEL,
        "llm.models.backward=openai/canned-gradients",
        "llm.models.optimizer=openai/canned-rewrites",
        "llm.check=false", "llm.store.mode=off", "llm.limits.first=null", "method=no_gate",
        "method.batch=32", "method.stop.steps=1", "method.lazy=false", "method.sample.count=2",
        "method.update.checks=false",  # what the endpoint says is no new text for all
        "task.splits={train: 32, validation: 0, test: 1}", "tracking=none",
        graph=graph,
        examples=[{"question": one, "target": one} for one in (*QUESTIONS, "1 + 1?")],
        score=lambda output, target: float(target in right),
    )  # fmt: skip
    ready = flow.prepared
    ready.calling.backend.load(ready.calling.models.values())
    # No test example is scored first: that would be a path of its own.
    problem = replace(ready.problem, splits=replace(ready.problem.splits, test=()))

    async def work() -> None:
        async with ready.calling.opened(Path(), os.environ) as llm:
            with suppress(_Done):
                await Descent(problem, ready.method, llm, _One()).run(ready.start)

    return lambda: asyncio.run(work())


class _Done(Exception):
    """The job is done; scores of the new texts are no part of it."""


class _One:
    """Ends a descent after a step."""

    def scored(self, initial: Scores) -> None:
        """Do nothing."""

    def stepped(self, step: Step) -> None:
        """End it."""
        raise _Done


measured(prepare)
