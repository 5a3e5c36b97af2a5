"""A probe of simulated models says whether they know what they are asked about."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from sgdflow.config.compose import compose
from sgdflow.config.paths import prompt_folders
from sgdflow.config.prepare import prepare
from sgdflow.llm.scripted import ScriptedLLM
from sgdflow.probe.advice import advise
from sgdflow.probe.probing import probe
from sgdflow.prompting.templates import Prompts
from sgdflow.simulation.worlds import reply


@pytest.mark.parametrize(
    ("words", "verdict"),
    [
        (("graph=tariff", "task=tariff"), "worth a run"),
        (
            ("graph=single", "task=table", "task.inputs={question: text}", "task.target=mood"),
            "not worth it",
        ),
        (
            (
                "graph=single",
                "task=table",
                "task.inputs={question: text}",
                "task.target=mood",
                "llm=openai",
            ),
            "worth a run",
        ),
    ],
    ids=["known", "unknown", "a real model"],
)
def test_a_run_that_can_learn_nothing_is_not_worth_it(
    tmp_path: Path, words: tuple[str, ...], verdict: str
) -> None:
    rows = [{"text": f"The film {i} moved me.", "mood": ("glad", "sad")[i % 2]} for i in range(60)]
    (tmp_path / "films.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    table = "task=table" in words
    path = (f"task.path={tmp_path}/films.jsonl", "task.score=exact") if table else ()
    splits = "task.splits={train: 25, validation: 20, test: 5}"
    prompts = Prompts(prompt_folders(tmp_path))
    prepared = prepare(compose([*words, *path, splits, "tracking=none"]), prompts, None)
    asked = ScriptedLLM(lambda role, node, messages: reply(messages, 0))
    advice = advise(prepared, asyncio.run(probe(prepared, prompts, asked)))
    assert advice.verdict == verdict
    assert ("the simulated models know nothing of these examples" in advice.because) == (
        verdict == "not worth it"
    )
