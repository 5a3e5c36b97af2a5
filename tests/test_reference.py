"""docs/reference.md says what every key of a configuration takes and means."""

from __future__ import annotations

import re
import runpy
from collections.abc import Iterator, Mapping
from pathlib import Path

from sgdflow.config.declared_keys import ANY, Tree, declared

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE = (DOCS / "reference.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in PAGE.splitlines()
    if line.startswith("| `")
]


def told(key: str) -> str:
    """Put a star where the page has a word for a name of a user's own."""
    return ".".join(ANY if part.isupper() else part for part in key.split("."))


def keys(tree: Tree, path: str = "") -> Iterator[str]:
    for name, below in tree.items():
        here = f"{path}.{name}".lstrip(".")
        if name not in (ANY, "_target_"):
            yield here
        if isinstance(below, Mapping):
            yield from keys(below, here)


def test_the_page_is_what_the_schema_makes_of_it() -> None:
    made = runpy.run_path(str(DOCS / "reference.py"))["written"]()
    assert made == PAGE, "the schema has changed: make reference"


def test_every_key_is_there_and_has_a_meaning() -> None:
    """The keys are those of which messages about wrong words know, found on a way of their own."""
    assert [row[0] for row in ROWS if len(row) != 4 or not row[3]] == [], "no docstring below it"
    listed = {told(row[0].strip("`")) for row in ROWS}
    elsewhere = {
        told(here): told(there)
        for here, there in re.findall(r"`([\w.]+)`: as \[`([\w.]+)`\]", PAGE)
    }
    known = [*keys(declared())]
    assert len(known) > 300
    for key in known:
        places = {key}
        while not places & listed:
            further = {
                there + one.removeprefix(here)
                for one in places
                for here, there in elsewhere.items()
                if one.startswith(f"{here}.")
            }
            assert further - places, key
            places |= further


def test_a_row_says_what_holds_where_nothing_is_said_and_what_shipped_files_say() -> None:
    rows = {row[0]: row[1:] for row in ROWS}
    assert rows["`method.sample.count`"][:2] == ["integer ≥ 0", "`2`; semantic: `8`"]
    assert rows["`method.backward.reply`"][1] == "`{tag: gradient}`"
    assert rows["`probe.gain`"][:2] == ["number > 0, < 1", "`0.1`"]
    assert rows["`graph.output`"][1] == "*required*"
    assert rows["`llm.again.max_tokens`"][1] == "`null`; openai: `2048`"


def test_its_links_lead_to_headings() -> None:
    headings = re.findall(r"^##+ (.+)$", PAGE, re.MULTILINE)
    anchors = {re.sub(r"[^a-z_ -]", "", one.lower()).replace(" ", "-") for one in headings}
    linked = {*re.findall(r"\]\(#([^)]+)\)", PAGE)}
    assert len(linked) > 4
    assert linked - anchors == set()
