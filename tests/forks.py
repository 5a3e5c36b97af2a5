"""Commands in processes of their own that need not import everything again."""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def forked(
    folder: Path,
    *words: str,
    environment: Mapping[str, str] | None = None,
    program: str = "sgdflow",
) -> subprocess.CompletedProcess[str]:
    """Run `python -m sgdflow WORDS` in a folder; not for what a command imports, or for signals.

    The program `passed` is that of tests/passed.py.
    """
    with tempfile.TemporaryDirectory() as place:
        out, err = Path(place, "out"), Path(place, "err")
        out.touch()
        err.touch()
        asked = {
            "folder": str(folder),
            "program": program,
            "words": words,
            "environment": dict(os.environ if environment is None else environment),
            "out": str(out),
            "err": str(err),
        }
        process = _zygote()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{json.dumps(asked)}\n")
        process.stdin.flush()
        code = int(process.stdout.readline())
        said = [file.read_text(encoding="utf-8") for file in (out, err)]
    return subprocess.CompletedProcess([program, *words], code, *said)


@cache
def _zygote() -> subprocess.Popen[str]:
    """Start the process that is forked; it ends with the one that has started it."""
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "tests" / "zygote.py")],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    atexit.register(process.__exit__, None, None, None)  # closes its input, and waits
    return process
