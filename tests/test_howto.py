"""docs/howto.md, followed word for word: every extension point has an example that runs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from conftest import Start
from followed import follow

PAGE = Path(__file__).resolve().parents[1] / "docs" / "howto.md"


def _result(run: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((run / "result.json").read_text(encoding="utf-8"))
    return found


@pytest.mark.timeout(600)
def test_the_page_can_be_followed(tmp_path: Path, at: Start) -> None:
    followed = follow(PAGE, tmp_path, at)
    runs = followed.here / "runs"
    # Feedback that passes through code does not say which price was wrong; one's own does.
    assert _result(runs / "parts")["scores"]["train"]["final"]["mean"] == 0.85  # type: ignore[index]
    assert _result(runs / "sum")["scores"]["test"]["final"]["mean"] == 1  # type: ignore[index]
    # The rule that is code asks nobody for a text, the backward function for no gradient.
    assert {*_result(runs / "noted")["usage"]} == {"forward"}  # type: ignore[misc]
    assert "the expected answer is" not in (runs / "words/calls.jsonl").read_text().lower()
    assert followed.names["answer"] == "23"


def test_the_list_at_the_top_leads_to_every_section() -> None:
    text = PAGE.read_text(encoding="utf-8")
    linked = re.findall(r"\]\(#([^)]+)\)", text)
    sections = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert linked == [one.lower().replace(" ", "-") for one in sections]
