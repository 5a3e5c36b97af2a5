"""The wheel works outside the checkout: conf/, prompts/ and experiments/ are in it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import venv
import zipfile
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
SWEEP = "hydra.sweep.dir=runs/sweep"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "-w",
        str(folder),
        str(ROOT),
    ]
    subprocess.run(command, check=True, capture_output=True)
    return next(folder.glob("sgdflow-*.whl"))


def test_wheel_holds_every_file_that_the_checkout_has(wheel: Path) -> None:
    shipped = set(zipfile.ZipFile(wheel).namelist())
    wanted = {
        f"sgdflow/_{folder}/{path.relative_to(ROOT / folder).as_posix()}"
        for folder, kind in (("conf", "*.yaml"), ("prompts", "*.jinja"))
        for path in (ROOT / folder).rglob(kind)
    }
    wanted |= {f"sgdflow/_conf/experiments/{p.name}" for p in (ROOT / "experiments").glob("*.yaml")}
    wanted |= {
        path.relative_to(ROOT).as_posix()
        for kind in ("py", "html", "css", "js")
        for path in (ROOT / "sgdflow").rglob(f"*.{kind}")
        if not any(
            part.startswith("_") and part != "__init__.py" and part != "__main__.py"
            for part in path.relative_to(ROOT).parts
        )
    }
    starters = ROOT / "sgdflow" / "starters"
    wanted |= {
        path.relative_to(ROOT).as_posix() for path in starters.rglob("*.*") if path.is_file()
    }
    assert wanted <= shipped


@dataclass(frozen=True)
class Installed:
    """The wheel in an environment of its own."""

    environment: Path

    def run(self, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
        """Give a command as a user does, in a folder; it has to end well."""
        ended = subprocess.run(
            [self.environment / "bin" / "sgdflow", *words],
            cwd=folder,
            env={k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "SGDFLOW"))},
            capture_output=True,
            text=True,
        )
        assert ended.returncode == 0, (words, ended.stdout, ended.stderr)
        return ended


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    environment = tmp_path_factory.mktemp("installed") / "env"
    venv.create(environment, with_pip=False, symlinks=True)
    # The dependencies are those of the tests' own environment; sgdflow itself is the wheel's.
    pip = [sys.executable, "-m", "pip", "--python", str(environment), "install", "-q"]
    subprocess.run([*pip, "--no-deps", "--no-index", str(wheel)], check=True, capture_output=True)
    site = next(environment.glob("lib/python*/site-packages"))
    own = next(p for p in map(Path, sys.path) if (p / "litellm").is_dir())
    (site / "dependencies.pth").write_text(f"{own}\n")
    return Installed(environment)


@pytest.mark.timeout(600)
def test_installed_wheel_runs_the_demo_from_an_empty_directory(
    installed: Installed, tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    code = "import sgdflow, sys; sys.exit(not sgdflow.__file__.startswith(sys.prefix))"
    python = installed.environment / "bin" / "python"
    assert subprocess.run([python, "-c", code], cwd=empty).returncode == 0
    run = installed.run(empty, "optimize", "experiments=quickstart", "hydra.run.dir=run")
    assert run.stdout.splitlines()[-1] == str(empty / "run")
    found = scores(empty / "run")
    assert found["initial"]["mean"] <= 0.3
    assert found["final"]["mean"] >= 0.95
    assert (empty / "mlflow.db").is_file()
    assert "</html>" in (empty / "run" / "report.html").read_text(encoding="utf-8")


def scores(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "result.json").read_text())["scores"]["test"]
    return found


@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_triage_project_goes_all_the_way_from_a_wheel_in_an_empty_folder(
    installed: Installed, tmp_path: Path
) -> None:
    """Five nodes, a label of two fields, own templates and scorer; every command of the README."""
    installed.run(tmp_path, "init", "desk")
    home = tmp_path / "desk"
    run = partial(installed.run, home)
    checked = run("check").stdout
    assert checked.startswith(
        "graph helpdesk: 5 nodes, optimises vocabulary, department.instruction, "
        "urgency.instruction, draft.instruction\ntask helpdesk: train 24, validation 12, test 24\n"
    )
    assert "prompts/forward/judge.jinja (judge)" in checked
    assert checked.endswith("Nothing is wrong.\n")
    assert "semantic on helpdesk: 24 training" in run("plan").stdout
    run("optimize", "hydra.run.dir=runs/first")
    found = scores(home / "runs/first")
    assert found["initial"]["mean"] < 0.3
    assert found["final"]["mean"] == 1
    before, after = (
        yaml.safe_load((home / "runs/first" / name).read_text())
        for name in ("initial.yaml", "parameters.yaml")
    )
    # Gradients reached what is shared from both that share it, and the frozen one nobody wrote.
    assert {'"invoice" means billing.', '"today" means high.'} <= {
        f"{said}." for said in re.split(r"\.\s*", after["vocabulary"])
    }
    assert after["judge.rubric"] == before["judge.rubric"]
    assert {name for name in before if before[name] != after[name]} == {
        "vocabulary", "department.instruction", "urgency.instruction", "draft.instruction",
    }  # fmt: skip
    run("optimize", "-m", "experiments=examples", "seed=0", "method.stop.steps=1", SWEEP)
    assert len(list((home / "runs/sweep").glob("*/result.json"))) == 2
    run("evaluate", "parameters=runs/first", "hydra.run.dir=runs/again")
    again = json.loads((home / "runs/again/evaluation.json").read_text())
    assert again["score"]["mean"] == 1
    run("export", "runs/first", "--to", "taken")
    lines = (home / "data/tickets.jsonl").read_text().splitlines()[:3]
    rows = [json.loads(line) for line in lines]
    asked = home / "asked.jsonl"
    asked.write_text("".join(json.dumps({"ticket": row["ticket"]}) + "\n" for row in rows))
    answered = run("predict", "taken", "--node", "draft", "--input", "asked.jsonl").stdout
    drafts = [json.loads(line)["output"] for line in answered.splitlines()]
    assert [one.pop("reply")[-20:] for one in drafts] == [" Hello, sorry, name."] * 3
    assert drafts == [{k: row[k] for k in ("department", "urgency")} for row in rows]
    (home / "runs/first/report.html").unlink()
    run("report", "runs/first")
    assert "means billing" in (home / "runs/first/report.html").read_text(encoding="utf-8")
    assert '{+ "courier" means shipping.' in run("show", "runs/first", "--step", "1").stdout
    compared = run("compare", "rows=method.sample.count").stdout.splitlines()
    rows = [line.split()[0] for line in compared if line[:1].isdigit()]
    assert rows == ["2", "8"] * 2  # the scores, and what the runs could show


def test_locks_pin_hashes_and_name_no_host() -> None:
    for name in ("requirements.lock", "requirements-dev.lock"):
        lock = (ROOT / name).read_text(encoding="utf-8")
        assert "://" not in lock
        pins = lock.count("==")
        assert pins > 100
        assert lock.count("--hash=sha256:") >= pins


def test_litellm_is_no_compromised_release() -> None:
    installed = version("litellm")
    assert installed not in ("1.82.7", "1.82.8")
    assert not installed.startswith("1.107.")
