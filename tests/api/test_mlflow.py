"""mlflow.genai.optimize_prompts with semantic gradient descent, on registered prompts."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow.genai.optimize.types import EvaluationResultRecord
from mlflow.genai.scorers import scorer

import sgdflow
from sgdflow.errors import ConfigError, NothingAnswered
from sgdflow.llm import Message
from sgdflow.simulation.worlds import reply

PRICES = {
    "weight": {"none": 0, "heavy": 21},
    "zone": {"none": 0, "south": 33},
}


def row(weight: str, zone: str) -> dict[str, Any]:
    total = PRICES["weight"][weight] + PRICES["zone"][zone]
    return {
        "inputs": {"order": f"Price this order. Weight: {weight}. Zone: {zone}."},
        "expectations": {"expected_response": str(total)},
    }


DATA = [row("heavy", "none"), row("none", "south"), row("heavy", "south")]
DESK = "Add up the prices of the parts."
WORDS = ("seed=2", "task.splits={train: 2, validation: 0, test: 1}", "method.stop.steps=1")
"""With this seed the order that has both parts is the one to test."""


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # Said in the environment, which is put back: what MLflow is told itself stays told.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/registry.db")


@mlflow.trace(span_type="CHAT_MODEL")
def chat(messages: list[dict[str, str]]) -> Mapping[str, Any]:
    told = [Message("system", messages[0]["content"]), Message("user", messages[1]["content"])]
    return {"choices": [{"message": {"role": "assistant", "content": reply(told, 0)}}]}


def ask(instruction: str, text: str) -> str:
    roles = {"system": instruction, "user": text}
    answer = chat([{"role": role, "content": said} for role, said in roles.items()])
    return str(answer["choices"][0]["message"]["content"])


@mlflow.trace  # the calls of an answer are one trace
def predict(order: str) -> str:
    names = ("price-weight", "price-zone")
    prompts = [mlflow.genai.load_prompt(f"prompts:/{name}/1") for name in names]
    return ask(DESK, "\n".join(ask(str(prompt.format()), order) for prompt in prompts))


@scorer
def right(outputs: str, expectations: Mapping[str, str]) -> bool:
    return outputs.strip() == expectations["expected_response"]


@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore")  # those of mlflow.genai itself
def test_two_registered_prompts_learn_each_its_own(store: None) -> None:
    for part in PRICES:
        text = f"Price the {part} of the order."
        mlflow.genai.register_prompt(name=f"price-{part}", template=text)
    result = mlflow.genai.optimize_prompts(
        predict_fn=predict,
        train_data=DATA,
        prompt_uris=["prompts:/price-weight/1", "prompts:/price-zone/1"],
        optimizer=sgdflow.mlflow.SemanticGradientDescent(*WORDS, progress=False),
        scorers=[right],
    )
    assert result.optimizer_name == "SemanticGradientDescent"
    assert (result.initial_eval_score, result.final_eval_score) == (0, 1)
    assert {one.uri: one.template for one in result.optimized_prompts} == {
        "prompts:/price-weight/2": "Price the weight of the order. The weight heavy costs 21.",
        "prompts:/price-zone/2": "Price the zone of the order. The zone south costs 33.",
    }


OPTIMIZER = sgdflow.mlflow.SemanticGradientDescent(*WORDS)
ROW = {"inputs": {"order": "An order."}, "expectations": {"expected_response": "1"}}


@pytest.mark.parametrize(
    ("data", "prompts", "told"),
    [
        ([], {"a": "Price it."}, "give train_data and scorers"),
        ([ROW], {"a": '[{"role": "user", "content": "Price it."}]'}, "'a' is a chat prompt"),
        (
            [ROW, {**ROW, "expectations": {"expected_response": "2"}}],
            {"a": "Price it."},
            "rows 0 and 1 have the same inputs and expect different things",
        ),
        ([ROW] * 3, {"a": "Price it."}, "task.splits.train asks for 2 examples"),
    ],
)
def test_bad_input_is_told_before_anything_is_run(
    data: list[dict[str, Any]], prompts: dict[str, str], told: str
) -> None:
    def never(candidates: Any, rows: Any) -> Any:
        raise AssertionError("nothing is run")

    with pytest.raises(ConfigError) as caught:
        OPTIMIZER.optimize(never, data, prompts, enable_tracking=False)
    assert told in str(caught.value)


def evaluated(
    candidates: dict[str, str], rows: list[dict[str, Any]], seen: list[int]
) -> list[EvaluationResultRecord]:
    """Return what MLflow would, of the same program, without a store and without a trace."""
    assert seen.count(-1) == seen.count(-2), "one set of prompts at a time"
    seen.append(-1)
    time.sleep(0.01)
    records = []
    for row in rows:
        prompts = [text.replace("{{order}}", "") for text in candidates.values()]
        said = [told(one, row["inputs"]["order"]) for one in prompts]
        output, wanted = told(DESK, "\n".join(said)), row["expectations"]["expected_response"]
        scores = {"right": float(output == wanted), "short": 1.0}
        why = {"right": f"expected: {wanted}", "short": ""}
        records.append(
            EvaluationResultRecord(
                row["inputs"], output, wanted, sum(scores.values()), NO_TRACE, why, scores
            )
        )
    seen += [len(rows), -2]
    return records


def told(instruction: str, text: str) -> str:
    return str(reply([Message("system", instruction), Message("user", text)], 0))


NO_TRACE: Any = None
TARGETS = {
    "price-weight": "Price the weight of the order. {{order}}",
    "9": "Price the zone of the order. {{order}}",
}


def test_rows_are_run_together_scorers_meet_and_names_to_fill_in_stay() -> None:
    seen: list[int] = []
    optimizer = sgdflow.mlflow.SemanticGradientDescent(*WORDS, progress=False)
    found = optimizer.optimize(
        lambda candidates, rows: evaluated(candidates, rows, seen), DATA, TARGETS, False
    )
    assert found.optimized_prompts.keys() == TARGETS.keys()
    assert all("{{order}}" in text for text in found.optimized_prompts.values())
    assert "weight heavy costs 21" in found.optimized_prompts["price-weight"]
    assert (found.initial_eval_score, found.final_eval_score) == (0.5, 1)
    assert max(seen) == 2


def test_a_program_that_fails_ends_the_run() -> None:
    def failing(candidates: Any, rows: Any) -> list[EvaluationResultRecord]:
        said = "Failed to invoke the predict_fn with {}: no network"
        return [EvaluationResultRecord({}, said, None, 0.0, NO_TRACE, {}) for _ in rows]

    optimizer = sgdflow.mlflow.SemanticGradientDescent(*WORDS, progress=False)
    with pytest.raises(NothingAnswered, match="no network"):
        optimizer.optimize(failing, DATA, TARGETS, False)
