"""A sweep whose values optuna chooses by the scores so far."""

from __future__ import annotations

import json
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import clusters
import pytest
import yaml
from started import run, served

ENGINES = os.environ.get("SGDFLOW_ENGINES", "").split()
TRIALS = 3
WORDS = ["optimize", "-m", "hydra/sweeper=optuna", f"hydra.sweeper.n_trials={TRIALS}"]
WORDS += ["method.stop.steps=0,1,2", "seed=choice(0,1,2)", "tracking=none"]
WORDS += ["task.splits.train=8", "task.splits.validation=8", "task.splits.test=4"]
WORDS += ["llm=vllm", "llm.endpoint=simulated", "llm.check=false"]
pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        bool(ENGINES) and "optuna" not in ENGINES, reason="left out: make test-engines ENGINES=..."
    ),
]


def test_trials_aim_at_the_best_score_and_are_the_same_again(tmp_path: Path) -> None:
    """Hydra writes what optuna takes for the best; the jobs' own results are the oracle."""
    if find_spec("hydra_plugins.hydra_optuna_sweeper") is None:
        clusters.lacking("pip install 'sgdflow[optuna]'")
    with served(0.0) as (address, requests):
        words = [*WORDS, f"llm.api_base={address}", f"llm.store.path={tmp_path / 'replies.db'}"]
        found, sent = [], []
        for name in ("first", "again"):
            code, said = run(tmp_path, *words, f"hydra.sweep.dir={name}")
            assert code == 0, said
            found.append(trials(tmp_path / name))
            sent.append(len(requests))
    assert found[0] == found[1]
    assert sent[0] == sent[1] == len(set(requests)) > 0  # the second sweep has all replies
    values, best = found[0]
    scores = [score for _, score in values]
    assert len(values) == TRIALS
    assert min(scores) < max(scores)
    assert best["best_value"] == max(scores)
    chosen = {f"{name}={value}" for name, value in best["best_params"].items()}
    assert any(chosen <= set(words) for words, score in values if score == max(scores))


def trials(sweep: Path) -> tuple[list[tuple[list[str], float]], dict[str, Any]]:
    """Return what each trial varied with its score, and which one optuna takes for the best."""
    found = []
    for job in range(len(list(sweep.glob("*/result.json")))):
        words = yaml.safe_load((sweep / str(job) / ".hydra" / "overrides.yaml").read_text())
        varied = [word for word in words if word.startswith(("seed=", "method.stop.steps="))]
        result = json.loads((sweep / str(job) / "result.json").read_text())
        found.append((varied, result["scores"]["validation"]["final"]["mean"]))
    return found, yaml.safe_load((sweep / "optimization_results.yaml").read_text())
