"""docs/tutorial.md, followed word for word in an empty folder."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Start

PAGE = Path(__file__).resolve().parents[1] / "docs" / "tutorial.md"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.DOTALL)
_NAMED = re.compile(r"\A(?:# |\{# )(\S+\.(?:py|yaml|jinja))(?: #\})?\n")


@pytest.mark.timeout(600)
def test_the_tutorial_ends_in_a_graph_that_has_learned(tmp_path: Path, at: Start) -> None:
    here, said = tmp_path, ""
    commands: list[str] = []
    for kind, text in BLOCKS:
        if kind == "text":
            assert all(line in said for line in text.splitlines()), text
        elif kind != "sh":
            named = _NAMED.match(text)
            assert named is not None, text
            (here / named[1]).parent.mkdir(parents=True, exist_ok=True)
            # The first line says where the file is to be; an overlay begins with the next one.
            overlay = text.splitlines()[1].startswith("# @package")
            (here / named[1]).write_text(text.split("\n", 1)[1] if overlay else text)
        else:
            for line in text.splitlines():
                words = shlex.split(line)
                if words[0] == "cd":
                    here /= words[1]
                elif words[0] == "sgdflow":
                    code, out, err = at(here, *words[1:])
                    assert code == 0, (line, err)
                    said, commands = f"{out}{err}", [*commands, words[1]]
                else:
                    line = line.replace("python ", f"{shlex.quote(sys.executable)} ")
                    subprocess.run(["sh", "-c", line], cwd=here, check=True, timeout=120)
    assert {"graph", "check", "optimize", "show", "evaluate", "predict"} <= {*commands}
    scores = json.loads((here / "runs/first/result.json").read_text())["scores"]["test"]
    assert scores["initial"]["mean"] < 0.4
    assert scores["final"]["mean"] > 0.9
    jobs = [json.loads((here / f"runs/samples/{n}/result.json").read_text()) for n in (0, 1)]
    assert all(job["graph"] == "parcels" for job in jobs)


def test_the_tutorial_has_a_file_of_each_kind() -> None:
    named = [_NAMED.match(text) for kind, text in BLOCKS if kind in ("python", "yaml", "jinja")]
    assert [one[1].rpartition(".")[2] for one in named if one] == [
        "py", "py", "yaml", "yaml", "jinja", "yaml",
    ]  # fmt: skip
