"""The pictures of the example graphs, and the page that shows them, are as the graphs are now."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).resolve().parents[1] / "docs"


@pytest.fixture(scope="module")
def pictures() -> ModuleType:
    spec = importlib.util.spec_from_file_location("pictures", DOCS / "pictures.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_example_graph_has_a_picture_that_is_up_to_date(
    pictures: ModuleType, tmp_path: Path
) -> None:
    pictures.draw(tmp_path)
    drawn = {file.name: file.read_text(encoding="utf-8") for file in tmp_path.iterdir()}
    there = {
        file.name: file.read_text(encoding="utf-8")
        for file in (DOCS / "images" / "graphs").iterdir()
    }
    assert drawn.keys() == there.keys()
    old = [name for name in drawn if drawn[name] != there[name]]
    assert not old, "draw them anew: make pictures"
    assert (DOCS / "graphs.md").read_text(encoding="utf-8") == pictures.page()


def test_each_form_of_node_is_shown_where_it_is_explained() -> None:
    shown = set(re.findall(r"images/graphs/(\w+)\.svg", (DOCS / "nodes.md").read_text()))
    assert shown == {
        "retrieval", "routed", "pictures", "demonstrated", "voiced", "tuned", "mapped", "refined",
        "tooled", "embedded", "taught", "letter",
    }  # fmt: skip
    assert "images/graphs/triage.svg" in (DOCS / "structured.md").read_text()
