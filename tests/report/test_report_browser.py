"""The report in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import Browser, browser, why_not
from run_directories import Directory

from sgdflow.errors import spelt_out
from sgdflow.report import write

pytestmark = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))

HOSTILE = (
    "<script>window.hacked=1</script></script><!--<script>"
    '<img src=x onerror="window.hacked=1">{{7*7}}${window.hacked=1}&lt;b&gt;'
    "\u2028\u202e\ud800 'quoted' \"twice\" \\u003c"
)
TAB, ENTER, ESCAPE = "\ue004", "\ue007", "\ue00c"


def expand(declared: Any) -> Any:
    return declared


@pytest.fixture(scope="module")
def window() -> Iterator[Browser]:
    with browser() as started:
        yield started


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = Directory(tmp_path_factory.mktemp("run"), text=HOSTILE)
    steps = [made.step(1, 2), made.step(2, 2, accepted=False)]
    return write(made.write(steps, [made.calls(1, 2), made.calls(2, 2)]), expand)


@pytest.fixture
def shown(window: Browser, page: Path) -> Browser:
    window.look(1280, 900)
    window.open(page)
    return window


def unfold(window: Browser) -> None:
    """Open everything that can be opened, also what appears while doing so."""
    for _ in range(4):
        window.run("for (const d of document.querySelectorAll('details')) d.open = true;")
        window.run("return new Promise((done) => setTimeout(done, 50));")


def test_page_loads_alone_and_a_node_opens_by_mouse(shown: Browser) -> None:
    assert shown.run("return document.querySelectorAll('.graph [data-node]').length") == 3
    assert shown.run("return performance.getEntriesByType('resource').length") == 0
    shown.run("document.querySelector('[data-node=step_1_1]').dispatchEvent(new Event('click'))")
    assert shown.run("return document.getElementById('panel-title').textContent") == "step_1_1"
    versions = "return [...document.querySelectorAll('.version .gate')].map((v) => v.textContent)"
    assert shown.run(versions) == ["accepted", "rejected"]
    assert shown.complaints() == []


def test_difference_marks_the_words_that_changed(shown: Browser) -> None:
    shown.run("document.querySelector('[data-node=answer]').dispatchEvent(new Event('click'))")
    first, second = shown.run(
        "return [...document.querySelectorAll('.version pre')].map((pre) =>"
        " [...pre.querySelectorAll('ins, del')].map((e) => [e.tagName, e.textContent]))"
    )
    assert first == [["DEL", " final"], ["INS", " 1"]]
    assert second == [["DEL", " 1"], ["INS", " 2"]]


def test_hostile_text_stays_text_everywhere(shown: Browser) -> None:
    seen: set[str] = set()
    for node in ("answer", "step_1_2"):
        shown.run(f"document.querySelector('[data-node={node}]').dispatchEvent(new Event('click'))")
        unfold(shown)
        seen |= set(
            shown.run("return [...document.querySelectorAll('pre')].map((p) => p.innerText)")
        )
    visible = spelt_out(HOSTILE.replace("\ud800", "\ufffd"))
    prompts = {f"{visible} prompt 1 0 step_1_2", f"{visible} reply 2 step_1_2"}
    gradients = {f"{visible} 2 1 step_1_2", f"{visible} expected"}
    values = {f"{visible} 1, 0 answer", f"{visible} 3 question"}
    assert prompts | gradients | values <= seen
    header = shown.run("return document.querySelector('header').textContent")
    assert spelt_out(HOSTILE) in header
    assert shown.run("return window.hacked ?? null") is None
    assert shown.run("return document.querySelectorAll('img').length") == 0
    assert shown.run("return document.querySelectorAll('script').length") == 3
    assert shown.complaints() == []


def test_keyboard_opens_and_closes_a_node_and_gives_the_focus_back(shown: Browser) -> None:
    focused = "return document.activeElement.dataset.node ?? document.activeElement.id"
    for _ in range(10):
        shown.press(TAB)
        if shown.run(focused) == "step_1_2":
            break
    shown.press(ENTER)
    assert shown.run(focused) == "panel-title"
    shown.press(TAB)
    assert shown.run(focused) == "close"
    shown.press(ESCAPE)
    assert shown.run("return document.getElementById('panel').hidden")
    assert shown.run(focused) == "step_1_2"


@pytest.mark.parametrize("dark", [False, True])
def test_phone_shows_everything_within_its_width(window: Browser, page: Path, dark: bool) -> None:
    window.look(390, 844, dark=dark)
    window.open(page, "#node=step_1_1")
    unfold(window)
    wide = "return ['html', '#panel'].map((s) => document.querySelector(s).scrollWidth)"
    assert max(window.run(wide)) <= 390
    window.press(ESCAPE)
    unfold(window)
    assert max(window.run(wide)) <= 390
    paper = window.run("return getComputedStyle(document.body).backgroundColor")
    lightness = sum(int(part) for part in paper.strip("rgb()").split(",")) / 3
    assert (lightness < 60) == dark
