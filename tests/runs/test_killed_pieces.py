"""Runs that are killed and started again: nothing is paid twice, and the end is the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from forks import forked

WORDS = (
    "optimize experiments=quickstart task.splits.train=12 task.splits.validation=4 "
    "task.splits.test=4 method.stop.steps=3 llm.store.mode=use tracking=none hydra.run.dir=run"
)
PIECES = {
    "cluster": ["method.aggregation.examples=cluster"],
    "causes": ["method.update.critique={prompt: optimizer/causes.jinja, causes: 3}"],
    "race": [
        "method.proposals={parents:2,each:2,form:joint,fallback:true}",
        "method.pool={keep:3,choose:pareto,merge:true}",
        "llm.parameters.temperature=1",
    ],
    "sequence": ["method=sequence", "method.stop.budget.calls=260", "method.stop.steps=4"],
}


def run(place: Path, words: list[str], killed_at: str = "") -> int:
    """Return how many calls were made."""
    place.mkdir(exist_ok=True)
    reply = "llm.caller.Caller.reply"
    names = json.dumps([reply, "records.folder.RunFolder.append"])
    done = forked(place, names, killed_at, *WORDS.split(), *words, program="passed")
    assert done.returncode == (9 if killed_at else 0), done.stderr
    passed: list[str] = json.loads(done.stdout.splitlines()[-1])
    return passed.count(reply)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("piece", PIECES)
def test_a_run_that_is_killed_goes_on_and_pays_nothing_twice(piece: str, tmp_path: Path) -> None:
    words = PIECES[piece]
    whole = run(tmp_path / "one", words)
    killed = run(tmp_path / "two", words, "records.folder.RunFolder.append")
    after = run(tmp_path / "two", words)
    assert 0 < after < whole
    assert killed + after == whole
    for file in ("steps.jsonl", "texts.jsonl", "parameters.yaml"):
        texts = [(tmp_path / one / "run" / file).read_text("utf-8") for one in ("one", "two")]
        assert texts[0] == texts[1], file
