"""Words that begin with ~: a home folder, or one that is nobody's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from conftest import Start
from forks import forked

from sgdflow.api import save_parameters
from sgdflow.cli.cache import cache
from sgdflow.cli.skill import skill
from sgdflow.errors import ConfigError

NOBODYS = "~nobody-lives-here/x"
HOME = "nobody has the home ~nobody-lives-here; write the whole path"
ROOT = Path(__file__).resolve().parents[2]

WORDS = {
    "init": (["init", NOBODYS], "sgdflow init: DIR: "),
    "picture": (["graph", "--picture", f"{NOBODYS}.svg"], "--picture: "),
    "export": (["export", "run", f"--to={NOBODYS}"], "sgdflow export: --to: "),
    "input": (["predict", "run", "--input", NOBODYS], "sgdflow predict: --input: "),
    "output": (["predict", "run", "--output", NOBODYS], "sgdflow predict: --output: "),
    "report": (["report", NOBODYS], "sgdflow report: directory: "),
    "report to": (["report", "run", "--out", NOBODYS], "sgdflow report: --out: "),
    "table": (["compare", "rows=method", f"out={NOBODYS}"], "out: "),
    "replies": (["cache", "export", NOBODYS], "sgdflow cache export: file: "),
    "store": (["cache", "info", f"--store={NOBODYS}"], "sgdflow cache info: --store: "),
    "skill": (["skill", NOBODYS], "sgdflow skill: DIR: "),
}


@pytest.mark.parametrize("case", WORDS)
def test_a_home_of_nobody_is_told_and_no_folder_of_that_name_is_made(
    case: str, tmp_path: Path, at: Start
) -> None:
    words, told = WORDS[case]
    code, said, wrong = at(tmp_path, *words)
    assert (code, said) == (1, "")
    path = next(word for word in words if NOBODYS in word).rpartition("=")[2]
    assert wrong.startswith(f"{told}'{path}': {HOME}.")
    assert not list(tmp_path.iterdir())


def test_a_home_is_where_a_command_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    skill(["~/skills"])
    assert (tmp_path / "skills" / "sgdflow" / "SKILL.md").is_file()
    save_parameters({"a": "b"}, "~/p.yaml")
    assert (tmp_path / "p.yaml").is_file()
    with pytest.raises(ConfigError, match=f"no store of replies at {tmp_path}/r.db"):
        cache(["info", "--store", "~/r.db"])


@pytest.mark.parametrize(
    ("words", "key"), [([], "hydra.run.dir"), (["-m"], "hydra.sweep.dir")], ids=["run", "sweep"]
)
def test_the_whole_path_is_told_where_hydra_would_make_a_folder_called_so(
    words: list[str], key: str, tmp_path: Path
) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": "/home/of me"}
    for path, instead in {
        "~/x": " Write the whole path: '/home/of me/x'\n",
        NOBODYS: f", and {HOME}.\n",
    }.items():
        word = f"{key}='{path}'"
        ended = forked(tmp_path, "optimize", *words, word, environment=environment)
        told = f"{key}: '{path}': ~ means nothing here{'.' if path == '~/x' else ''}{instead}"
        assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", told)
    assert not list(tmp_path.iterdir())
