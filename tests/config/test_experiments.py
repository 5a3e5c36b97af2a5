"""The shipped experiments: every job of a sweep is valid; real data goes through the client."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from sgdflow.comparison import paper
from sgdflow.config.build import build_graph, build_method
from sgdflow.config.compose import compose
from sgdflow.config.paths import prompt_folders
from sgdflow.config.prepare import validated
from sgdflow.executor.forward import forward_pass
from sgdflow.llm.scripted import ScriptedLLM
from sgdflow.prompting.templates import Prompts
from sgdflow.simulation.guesses import ADVICE
from sgdflow.simulation.worlds import reply

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("SGDFLOW_DATA", ROOT.parent / "shared" / "data"))
PROMPTS = Prompts(prompt_folders(Path("nowhere")))


def sweep(file: Path) -> Mapping[str, list[str]]:
    hydra = yaml.safe_load(file.read_text(encoding="utf-8")).get("hydra", {})
    params = hydra.get("sweeper", {}).get("params", {})
    return {key: [one.strip() for one in str(values).split(",")] for key, values in params.items()}


SWEEPS = {file.stem: sweep(file) for file in sorted((ROOT / "experiments").glob("*.yaml"))}


def jobs() -> Iterator[tuple[str, str]]:
    for name, params in SWEEPS.items():
        for key in params.keys() - {"seed", "task.name"}:  # numbers, and names that are known
            yield from ((name, f"{key}={value}") for value in params[key])


@pytest.mark.parametrize(("name", "override"), sorted(jobs()))
def test_every_value_of_a_sweep_is_one_that_runs(name: str, override: str) -> None:
    path = ["task.path=DIR"] if name == "liar_ablation" else []
    config = validated(compose([f"experiments={name}", override, *path]))
    build_method(config.method, build_graph(config.graph, PROMPTS), PROMPTS)


def test_sweeps_are_whole() -> None:
    files = SWEEPS["bbh"]["task.name"]
    assert len(files) == len(set(files)) == 27
    assert [*paper.missing("all", files)] == []
    shipped = {file.stem for file in (ROOT / "conf/method").glob("*.yaml")}
    assert set(SWEEPS["methods"]["method"]) == shipped - {"sequence"}  # which is made of others
    nodes = compose(["graph=liar"])["graph"]["nodes"]
    alone = {f"liar/only_{node}" for node in nodes}
    full = {"semantic", "no_gradient", "no_neighbors", "no_gate"}
    assert set(SWEEPS["liar_ablation"]["method"]) == alone | full


def optimise(folder: Path, *words: str) -> Mapping[str, Any]:
    run = folder / "run"
    ended = subprocess.run(
        [sys.executable, "-m", "sgdflow", "optimize", *words, f"hydra.run.dir={run}"],
        cwd=folder,
        env={**os.environ, "OPENAI_API_KEY": "made-up"},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    result: dict[str, Any] = json.loads((run / "result.json").read_text(encoding="utf-8"))
    (step,) = map(json.loads, (run / "steps.jsonl").read_text(encoding="utf-8").splitlines())
    return {**result, "step": step}


@pytest.mark.skipif(not (DATA / "gsm8k").is_dir(), reason="GSM8K and LIAR are not here")
@pytest.mark.parametrize(("name", "nodes"), [("gsm8k", 3), ("liar", 6)])
def test_real_data_goes_through_the_real_client(
    name: str, nodes: int, endpoint: str, tmp_path: Path
) -> None:
    """The replies have the right shape and say nothing about any model."""
    few = ["task.splits.train=10", "task.splits.test=8", "method.stop.steps=1"]
    if name == "liar":
        few.append("task.splits.validation=4")
    path = f"task.path={DATA / name}"
    made = optimise(
        tmp_path, f"experiments={name}", path, *few, f"llm.api_base={endpoint}", "tracking=none"
    )
    test = made["scores"]["test"]["final"]
    assert (test["n"], test["failed"]) == (8, 0)
    step = made["step"]
    assert step["malformed"] == 0
    assert len(step["sampled"]) == 2
    assert step["calls"]["backward"] == 2
    assert len(step["proposal"]) == nodes
    assert all(text.endswith(ADVICE) for text in step["proposal"].values())
    assert made["llm"] == "openai"


@pytest.mark.parametrize(
    ("instruction", "variables", "said"),
    [
        ("Solve the problem.", {"question": "He buys 1,200 eggs at 3 each. Sum?"}, "3600"),
        ("Solve the problem.", {"question": "Which?\nOptions:\n(A) one\n(B) two"}, "(A)"),
        ("Solve the problem.", {"question": "Valid?\nOptions:\n- valid \n- invalid"}, "valid"),
        ("Decide. Answer Yes (a lie) or No.", {"record": "It cost 5."}, "Yes"),
        ("Decide. Answer Yes (a lie) or No.", {"record": "It is big."}, "No"),
        ("Say how the party feels.", {"record": "It cost 5."}, "The text has 3 words; 1 are num"),
    ],
)
def test_guesses_have_the_shape_of_an_answer(
    instruction: str, variables: Mapping[str, str], said: str
) -> None:
    graph = {
        "name": "one",
        "inputs": list(variables),
        "nodes": {"answer": {"predecessors": [*variables], "parameters": {"task": instruction}}},
        "output": "answer",
    }
    built = build_graph(validated({**compose([]), "graph": graph}).graph, PROMPTS)
    llm = ScriptedLLM(lambda role, node, messages: reply(messages, 0))
    passed = asyncio.run(forward_pass(built, built.initial(), "1", variables, llm))
    assert passed.values["answer"].startswith(said)
