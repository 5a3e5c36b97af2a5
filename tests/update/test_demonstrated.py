"""The experiment in which a call chooses what the desk is shown of its own right work."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import yaml

from sgdflow.config.compose import compose
from sgdflow.config.paths import prompt_folders
from sgdflow.config.prepare import prepare
from sgdflow.llm.scripted import ScriptedLLM
from sgdflow.prompting.templates import Prompts
from sgdflow.records import RunFolder
from sgdflow.runs.run import optimise
from sgdflow.simulation.worlds import reply
from sgdflow.tracking import NullTracker

PROMPTS = Prompts(prompt_folders(Path("nowhere")))


def test_a_call_chooses_among_right_work_what_the_desk_is_shown(tmp_path: Path) -> None:
    words = ["experiments=demonstrated", "tracking=none", "method.stop.steps=2"]
    words += ["task.splits={train: 60, validation: 0, test: 1}", "method.confirm=null"]
    ready = prepare(compose(words), PROMPTS, {})
    llm, folder = ScriptedLLM(lambda role, node, sent: reply(sent, 0)), RunFolder(tmp_path / "run")
    asyncio.run(optimise(ready, {}, llm, NullTracker(), folder))
    asked = [
        str(one.messages[1].content)
        for one in llm.requests
        if one.role == "optimizer" and "Choose at most 2 of the pieces" in str(one.messages)
    ]
    assert asked
    assert all("# Where it fails" in one for one in asked)
    kept = yaml.safe_load((folder.path / "parameters.yaml").read_text(encoding="utf-8"))
    shown = json.loads(kept["desk.shots"])
    # What stands in the end stood before the writer as right work: its sum is that of its parts.
    for one in shown:
        prices = [int(re.findall(r": (\d+)", price)[0]) for price in one["given"].values()]
        assert sum(prices) == int(one["output"])
        assert any(str(price) in text for price in one["given"].values() for text in asked)
    assert len(shown) == 2
    forward = [str(one.messages) for one in llm.requests if one.role == "forward"]
    assert any(json.dumps(shown[0]["given"]["weight"])[1:-1] in text for text in forward)
