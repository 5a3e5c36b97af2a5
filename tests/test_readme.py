"""Every command that the documentation shows is one that works."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from sgdflow.comparison import parse
from sgdflow.config.compose import compose
from sgdflow.config.prepare import validated

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
for followed in ("concepts.md", "howto.md", "peers.md", "tutorial.md"):  # each as a whole
    PAGES.remove(ROOT / "docs" / followed)
PAGES += [*sorted((ROOT / "conf").rglob("*.yaml")), *sorted((ROOT / "experiments").glob("*.*"))]
_BLOCK = re.compile(r"```sh\n(.*?)```", re.DOTALL)
_IN_TEXT = re.compile(r"`(sgdflow [^`]+)`")
_IN_YAML = re.compile(r"^# (?:[A-Z_]+=\S+ )?(sgdflow .+)$", re.MULTILINE)


def shown_commands(page: Path) -> list[str]:
    text = page.read_text(encoding="utf-8")
    if page.suffix == ".yaml":
        return _IN_YAML.findall(text)
    blocks = [line for block in _BLOCK.findall(text) for line in block.splitlines()]
    return [line for line in [*blocks, *_IN_TEXT.findall(text)] if line.startswith("sgdflow ")]


COMMANDS = sorted({command for page in PAGES for command in shown_commands(page)})


def test_documentation_shows_commands() -> None:
    assert len(COMMANDS) > 20
    assert "sgdflow graph graph=hints" in COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_shown_command_is_understood(command: str) -> None:
    """The overrides compose and validate; a sweep does with the first of its values."""
    name, *words = shlex.split(command)[1:]
    if (
        name
        in (
            "init",
            "skill",
            "ui",
            "simulate",
            "cache",
            "report",
            "show",
            "export",
            "predict",
            "-sc",
        )
        or "--cfg" in words
        or "…" in command
    ):
        return
    if name == "compare":
        validated(compose(parse(words).overrides))
        return
    assert name in ("check", "optimize", "evaluate", "graph", "plan", "probe")
    if "--picture" in words:
        del words[words.index("--picture") : words.index("--picture") + 2]
    single = [re.sub(r"=range\(\d+\)$", "=0", word) for word in words if word != "-m"]
    overrides = [re.sub(r"^([\w.]+=[^,{\[]*),.*$", r"\1", word) for word in single]
    validated(compose(overrides))


def test_shown_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES[:2])
    shown = set(re.findall(r"(?:^|`)make ([a-z]+)", text, re.MULTILINE))
    assert {"test", "lint", "demo"} <= shown
    assert shown <= targets


def test_readme_lists_the_shipped_choices() -> None:
    """docs/configuration.md names every shipped choice of every group, and no other."""
    text = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    engines = ("hydra/launcher", "hydra/sweeper")
    for folder in ("graph", "task", "method", "llm", "tracking", *engines):
        row = re.search(rf"^\| `{folder}` \|[^|]*\|([^|]*)\|", text, re.MULTILINE)
        assert row is not None, folder
        shipped = {path.stem for path in (ROOT / "conf" / folder).glob("*.yaml")}
        assert set(re.findall(r"`([^`]+)`", row[1])) == shipped, folder
