"""The wheel works outside the checkout: conf/, prompts/ and experiments/ are in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


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


@pytest.mark.timeout(600)
def test_installed_wheel_runs_the_demo_from_an_empty_directory(wheel: Path, tmp_path: Path) -> None:
    environment, empty = tmp_path / "env", tmp_path / "empty"
    empty.mkdir()
    venv.create(environment, with_pip=False, symlinks=True)
    # The dependencies are those of the tests' own environment; sgdflow itself is the wheel's.
    pip = [sys.executable, "-m", "pip", "--python", str(environment), "install", "-q"]
    subprocess.run([*pip, "--no-deps", "--no-index", str(wheel)], check=True, capture_output=True)
    site = next(environment.glob("lib/python*/site-packages"))
    own = next(p for p in map(Path, sys.path) if (p / "litellm").is_dir())
    (site / "dependencies.pth").write_text(f"{own}\n")
    code = "import sgdflow, sys; sys.exit(not sgdflow.__file__.startswith(sys.prefix))"
    python = environment / "bin" / "python"
    assert subprocess.run([python, "-c", code], cwd=empty).returncode == 0
    run = subprocess.run(
        [
            environment / "bin" / "sgdflow",
            "optimize",
            "experiments=quickstart",
            "hydra.run.dir=run",
        ],
        cwd=empty,
        env={k: v for k, v in os.environ.items() if not k.startswith("PYTHON")},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines()[-1] == str(empty / "run")
    scores = json.loads((empty / "run" / "result.json").read_text())["scores"]["test"]
    assert scores["initial"]["mean"] <= 0.3
    assert scores["final"]["mean"] >= 0.95
    assert (empty / "mlflow.db").is_file()
    assert "</html>" in (empty / "run" / "report.html").read_text(encoding="utf-8")
    for words in (["init", "mine"], ["check", "--project", "mine"]):
        ended = subprocess.run(
            [environment / "bin" / "sgdflow", *words],
            cwd=empty,
            env={k: v for k, v in os.environ.items() if not k.startswith("PYTHON")},
            capture_output=True,
            text=True,
        )
        assert ended.returncode == 0, ended.stderr
    assert ended.stdout.endswith("Nothing is wrong.\n")


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
