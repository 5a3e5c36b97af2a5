"""The guide for coding agents, followed in an empty folder."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
import yaml
from conftest import Start

from sgdflow.config.compose import compose
from sgdflow.config.prepare import validated


@pytest.mark.timeout(600)
def test_the_guide_leads_from_an_empty_folder_to_a_better_graph(tmp_path: Path, at: Start) -> None:
    code, out, _ = at(tmp_path, "skill")
    assert (code, out) == (0, "skills/sgdflow/SKILL.md\n")
    text = (tmp_path / "skills/sgdflow/SKILL.md").read_text(encoding="utf-8")
    _, head, body = text.split("---\n", 2)
    about = yaml.safe_load(head)
    assert about.keys() == {"name", "description"}
    assert about["name"] == "sgdflow"
    assert len(about["description"]) < 1024
    here = tmp_path
    for block in re.findall(r"^```sh\n(.*?)^```$", body, re.M | re.DOTALL):
        for line in block.splitlines():
            words = shlex.split(line)
            if words[0] == "cd":
                here /= words[1]
                continue
            code, out, err = at(here, *words[1:])
            assert code == 0, (line, err)
            if words[1] == "check":
                assert "Nothing is wrong." in out
    scores = json.loads((here / "runs/first/result.json").read_text())["scores"]["test"]
    assert scores["final"]["mean"] > scores["initial"]["mean"]


def test_the_keys_that_the_guide_names_are_taken() -> None:
    words = ["llm=vllm", "llm.api_base=http://127.0.0.1:9/v1", "llm.limits.budget.cost=2"]
    words += ["graph.forward.reply.format=text", "llm.parameters.max_tokens=900"]
    words += ["llm.models.optimizer=openai/gpt-4o", "method.sample.count=4"]
    assert validated(compose(words)).llm.parameters["max_tokens"] == 900


def test_nothing_is_written_over(tmp_path: Path, at: Start) -> None:
    at(tmp_path, "skill", "mine")
    code, _, err = at(tmp_path, "skill", "mine")
    assert code == 1
    assert err == (
        "mine has mine/sgdflow/SKILL.md already, and nothing is written over. Choose another "
        "folder: sgdflow skill DIR\n"
    )
