"""docs/howto.md, followed word for word: every extension point has an example that runs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from conftest import Start
from followed import follow

from sgdflow.records.source import read_steps

PAGE = Path(__file__).resolve().parents[1] / "docs" / "howto.md"


def _result(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "result.json").read_text(encoding="utf-8"))
    return found


@pytest.mark.timeout(600)
def test_the_page_can_be_followed(tmp_path: Path, at: Start) -> None:
    followed = follow(PAGE, tmp_path, at)
    runs = followed.here / "runs"
    # Feedback that passes through code leaves it open which price was wrong: that takes several.
    assert _result(runs / "parts")["scores"]["train"]["final"]["mean"] == 1
    assert _result(runs / "sum")["scores"]["test"]["final"]["mean"] == 1
    # The rule that is code asks nobody for a text, the backward function for no gradient.
    calls = _result(runs / "noted")["calls"]
    assert {role for role, number in calls.items() if number} == {"forward"}
    sent = str(read_steps(runs / "words/calls.jsonl"))
    assert "You price orders, and you state" in sent
    assert "The output is wrong" not in sent
    assert followed.names["answer"] == "23"
    # Commands within the text are looked at only; of a sweep its first job.
    within = re.findall(r"`sgdflow optimize ([^`]+)`", PAGE.read_text(encoding="utf-8"))
    assert len(within) > 1
    for line in within:
        words = [re.sub(r"=([^,]+),.*$", r"=\1", word) for word in line.split() if word != "-m"]
        code, _, err = at(followed.here, "check", *words)
        assert code == 0, (line, err)


def test_the_list_at_the_top_leads_to_every_section() -> None:
    text = PAGE.read_text(encoding="utf-8")
    linked = re.findall(r"\]\(#([^)]+)\)", text)
    sections = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert linked == [one.lower().replace(" ", "-") for one in sections]
