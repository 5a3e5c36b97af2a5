"""docs/peers.md: what is ours runs, and every row about others names its source."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import Start
from followed import follow

PAGE = Path(__file__).resolve().parents[1] / "docs" / "peers.md"
PEERS = ("DSPy", "TextGrad", "Trace", "AdalFlow", "GEPA", "promptolution", "NeMo Agent", "MLflow")


@pytest.mark.timeout(300)
def test_what_their_pieces_become_runs(tmp_path: Path, at: Start) -> None:
    followed = follow(PAGE, tmp_path, at)
    assert followed.commands == ["plan", "check"]


def test_each_peer_has_a_source_and_a_section_of_its_own() -> None:
    text = PAGE.read_text(encoding="utf-8")
    table = text.split("## How they differ")[1].split("## If you come from")[0]
    rows = {line.split("|")[1].strip(): line for line in table.splitlines() if line[:2] == "| "}
    sections = re.findall(r"^### (.+)$", text, re.MULTILINE)
    for peer in PEERS:
        [row] = [line for name, line in rows.items() if name.startswith(peer)]
        assert "](https://" in row, peer
        assert any(one.startswith(peer) for one in sections), peer
