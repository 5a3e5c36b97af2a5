"""What the quickstart and the BIG-Bench Hard runs promise, with the simulated models."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from forks import forked
from simulated import Simulated, Watch

from sgdflow.config.compose import compose
from sgdflow.config.paths import prompt_folders
from sgdflow.config.prepare import prepare
from sgdflow.descent import Descent, Result
from sgdflow.prompting.templates import Prompts

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("SGDFLOW_DATA", ROOT.parent / "shared" / "data"))


def learn(*words: str) -> Result:
    raw = compose(["experiments=quickstart", "tracking=none", *words])
    ready = prepare(raw, Prompts(prompt_folders(Path("nowhere"))), {})
    return asyncio.run(Descent(ready.problem, ready.method, Simulated(), Watch()).run(ready.start))


@pytest.mark.timeout(300)
def test_quickstart_learns_the_tariff_on_nearly_every_seed() -> None:
    finals = []
    for seed in range(10):
        result = learn(f"seed={seed}")
        assert result.initial.test is not None
        assert result.final.test is not None
        assert result.initial.test.mean <= 0.3
        assert result.steps <= 10
        finals.append(result.final.test.mean)
    assert sum(final >= 0.9 for final in finals) >= 9, finals
    assert finals[0] >= 0.95


def test_reply_format_is_a_matter_of_declaration() -> None:
    tagged = learn("method.stop.steps=3")
    assert tagged.final != tagged.initial
    for form in ("numbered", "json"):
        result = learn("method.stop.steps=3", f"method.backward.reply.format={form}")
        assert (result.parameters, result.final) == (tagged.parameters, tagged.final)


def test_evaluate_reads_parameters_back_and_gives_the_same_score(tmp_path: Path) -> None:
    few = ["experiments=quickstart", "tracking=none", "task.splits.train=20", "method.stop.steps=1"]
    run, again = tmp_path / "run", tmp_path / "again"
    for words in (
        ["optimize", *few, f"hydra.run.dir={run}"],
        ["evaluate", *few, f"parameters={run}", f"hydra.run.dir={again}"],
    ):
        ended = forked(tmp_path, *words)
        assert ended.returncode == 0, ended.stderr
    test = json.loads((run / "result.json").read_text())["scores"]["test"]
    assert test["final"]["mean"] > test["initial"]["mean"]
    evaluation = json.loads((again / "evaluation.json").read_text())
    assert evaluation["score"] == test["final"]

    finals = {
        one["example"]: one["final"] for one in lines(run, "examples") if one["split"] == "test"
    }
    assert finals == evaluation["examples"]
    (step,), (calls,) = lines(run, "steps"), lines(run, "calls")
    assert [one["example"] for one in calls["examples"]] == [e["example"] for e in step["sampled"]]
    assert calls["updates"].keys() >= step["proposal"].keys()
    made = [exchanges for one in calls["examples"] for exchanges in one["backward"].values()]
    for role, exchanges in (("backward", made), ("optimizer", calls["updates"].values())):
        distinct = {json.dumps(call): call for calls in exchanges for call in calls}.values()
        assert {call["role"] for call in distinct} == {role}
        assert len(distinct) == step["calls"][role]
        prompt = sum(call["tokens"]["prompt"] for call in distinct)
        assert prompt == step["tokens"][role]["prompt"]


def lines(run: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / f"{name}.jsonl").read_text().splitlines()]


def optimise(folder: Path, *words: str, environ: Mapping[str, str] | None = None) -> Path:
    run = folder / "run"
    base = ["experiments=bbh", f"task.path={DATA / 'bbh'}", "task.splits.test=40", "tracking=none"]
    folder.mkdir(exist_ok=True)
    environment = {**os.environ, **(environ or {})}
    ended = forked(
        folder, "optimize", *base, *words, f"hydra.run.dir={run}", environment=environment
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines()[-1] == str(run)
    return run


@pytest.mark.skipif(not (DATA / "bbh").is_dir(), reason="BIG-Bench Hard data is not here")
@pytest.mark.parametrize("name", ["word_sorting", "multistep_arithmetic_two", "dyck_languages"])
def test_bbh_improves_on_real_items_and_over_http_alike(
    name: str, endpoint: str, tmp_path: Path
) -> None:
    task = f"task.name={name}"
    here = optimise(tmp_path / "here", task, "llm=simulated")
    http = ["llm=openai", f"llm.api_base={endpoint}"]
    there = optimise(tmp_path / "there", task, *http, environ={"OPENAI_API_KEY": "made-up"})
    test = json.loads((here / "result.json").read_text())["scores"]["test"]
    assert test["final"]["mean"] > test["initial"]["mean"] + 0.2
    assert (here / "parameters.yaml").read_bytes() == (there / "parameters.yaml").read_bytes()
    for mine, theirs in zip(lines(here, "steps"), lines(there, "steps"), strict=True):
        assert set(mine.pop("cost").values()) == {0.0}
        theirs.pop("cost")  # what the model that is named would have taken
        assert mine == theirs
