"""Word-level differences."""

from __future__ import annotations

import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sgdflow.records.diff import words

TEXT = st.text("ab. \n\t<é", max_size=60)


@given(TEXT, TEXT)
def test_parts_rebuild_both_texts(before: str, after: str) -> None:
    parts = words(before, after)
    assert "".join(text for op, text in parts if op != "insert") == before
    assert "".join(text for op, text in parts if op != "delete") == after
    assert all(text for _, text in parts)
    assert all(a[0] != b[0] for a, b in itertools.pairwise(parts))


def test_only_the_words_that_changed_are_marked() -> None:
    assert words("Price the weight.", "Price the weight. Bulky costs 5.") == (
        ("equal", "Price the weight."),
        ("insert", " Bulky costs 5."),
    )
    assert words("Add the prices up.", "Add all prices up.") == (
        ("equal", "Add"),
        ("delete", " the"),
        ("insert", " all"),
        ("equal", " prices up."),
    )
    assert words("same", "same") == (("equal", "same"),)
    assert words("", "new") == (("insert", "new"),)
    assert words("", "") == ()


LONG = (" ".join(f"{i}" for i in range(50_000)), " ".join(f"-{i}" for i in range(50_000)))
LOOPS = ("x " + "a " * 999 + "y", "z " + "b a a " * 330 + "w")


@pytest.mark.parametrize(("before", "after"), [LONG, LOOPS])
def test_long_and_repetitive_texts_take_no_seconds(before: str, after: str) -> None:
    began = time.perf_counter()
    parts = words(before, after)
    assert time.perf_counter() - began < 2
    assert parts == (("delete", before), ("insert", after))
