"""Semantic gradient descent for prompts of MLflow's registry: mlflow.genai.optimize_prompts."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.genai.optimize.optimizers import BasePromptOptimizer
from mlflow.genai.optimize.types import EvaluationResultRecord, PromptOptimizerOutput

from sgdflow.api import Flow
from sgdflow.api.wrapped import AMONG
from sgdflow.descent import Scores, Step
from sgdflow.errors import ConfigError
from sgdflow.executor.functions import in_thread
from sgdflow.executor.graph_names import RESERVED
from sgdflow.executor.means import Summary
from sgdflow.llm.heard import Heard, heard
from sgdflow.llm.recording import hear, unheard

_EXPECTED = "what is expected"
_HOLE = re.compile(r"\{\{[^{}]*\}\}")
_FAILED = "Failed to invoke the predict_fn with"
"""How an output begins that MLflow has made of an exception."""
_MODELS = ("CHAT_MODEL", "LLM")

Evaluate = Callable[[dict[str, str], list[dict[str, Any]]], list[EvaluationResultRecord]]


class SemanticGradientDescent(BasePromptOptimizer):
    """Rewrites prompts from semantic gradients; what is traced of `predict_fn` finds whom to blame.

    The words say which models write them and how, as for `sgdflow.load`: "llm=openai",
    "method.stop.steps=4", "task.splits={train: 20, validation: 10, test: null}". The scores that
    it reports are those of the test split, which decides nothing. With a `directory` the run
    leaves its records there.
    """

    def __init__(
        self, *words: str, directory: str | Path | None = None, progress: bool = True
    ) -> None:
        self._words, self._directory, self._progress = words, directory, progress

    def optimize(
        self,
        eval_fn: Evaluate | None,
        train_data: list[dict[str, Any]],
        target_prompts: dict[str, str],
        enable_tracking: bool = True,
    ) -> PromptOptimizerOutput:
        """Return the prompts that were found, by their names; raises ConfigError."""
        names = _parameters(target_prompts)
        program = _Program(_needed(eval_fn, train_data), train_data, names)
        flow = Flow(
            "tracking=none",
            *self._words,
            graph=program.graph(target_prompts),
            examples=list(program.examples()),
            score=program.score,
            target=_EXPECTED,
            name="mlflow",
        )
        run = mlflow.active_run() if enable_tracking else None
        optimise = partial(
            flow.optimize,
            None if run is None else _Metrics(MlflowClient(), run.info.run_id),
            directory=self._directory,
            record=self._directory is not None,
            progress=self._progress,
        )
        # In a thread of its own: whoever calls may be in an event loop.
        with ThreadPoolExecutor(1) as thread:
            result = thread.submit(optimise).result()
        return PromptOptimizerOutput(
            {name: str(result.parameters[f"program.{own}"]) for own, name in names.items()},
            _mean(result.initial.test),
            _mean(result.final.test),
        )


def _needed(eval_fn: Evaluate | None, train_data: Sequence[Any]) -> Evaluate:
    if eval_fn is None or not train_data:
        raise ConfigError(
            "optimize_prompts: semantic gradients come from examples that are scored; give "
            "train_data and scorers."
        )
    return eval_fn


def _parameters(prompts: Mapping[str, str]) -> Mapping[str, str]:
    """Return the names of prompts by names that parameters may have."""
    found: dict[str, str] = {}
    for name, text in prompts.items():
        if _is_chat(text):
            raise ConfigError(
                f"prompt_uris: '{name}' is a chat prompt; sgdflow rewrites texts. Register what is "
                "to be learned as a text of its own, and put it into the messages in predict_fn."
            )
        base = own = re.sub(r"[^A-Za-z0-9_]", "_", name)
        if not own.isidentifier() or own in RESERVED:
            base = own = f"prompt_{own}"
        number = 1
        while own in found:
            number += 1
            own = f"{base}_{number}"
        found[own] = name
    return found


def _is_chat(text: str) -> bool:
    try:
        found = json.loads(text)
    except ValueError:
        return False
    return isinstance(found, list) and all(isinstance(one, dict) for one in found)


@dataclass
class _Program:
    """What optimize_prompts runs, as a function of inputs and prompts."""

    eval_fn: Evaluate
    rows: Sequence[dict[str, Any]]
    names: Mapping[str, str]
    waiting: dict[tuple[str, ...], list[tuple[int, asyncio.Future[EvaluationResultRecord]]]] = (
        field(default_factory=dict)
    )
    verdicts: dict[tuple[int, str], EvaluationResultRecord] = field(default_factory=dict)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        """Number the rows by their inputs; raises ConfigError where two expect different things."""
        self._inputs = self._named_alike()
        self._numbers: dict[str, int] = {}
        for number, row in enumerate(self.rows):
            first = self._numbers.setdefault(_key(self._values(row)), number)
            if _expected(self.rows[first]) != _expected(row):
                raise ConfigError(
                    f"train_data: rows {first} and {number} have the same inputs and expect "
                    "different things. Mend one of them, or leave it out."
                )

    def graph(self, prompts: Mapping[str, str]) -> Mapping[str, Any]:
        """Return the declaration: one node, whose parameters are the prompts."""
        parameters = {own: _declared(prompts[name]) for own, name in self.names.items()}
        node = {"predecessors": self._inputs, "parameters": parameters, "trace": True}
        node |= {"backward": AMONG} if len(parameters) > 1 else {}
        return {
            "name": "prompts",
            "inputs": self._inputs,
            "nodes": {"program": {**node, "forward": self.run}},
            "output": "program",
        }

    def examples(self) -> Iterator[Mapping[str, Any]]:
        """Yield the rows, each once."""
        for number in self._numbers.values():
            row = self.rows[number]
            values = dict(zip(self._inputs, self._values(row), strict=True))
            yield {**values, _EXPECTED: _expected(row)}

    async def run(self, *values: Any, **prompts: str) -> Any:
        """Return the output for a row; those that wait with the same prompts are run together.

        MLflow takes one set of prompts at a time.
        """
        number, key = self._numbers[_key(values)], tuple(prompts[own] for own in self.names)
        answer = asyncio.get_running_loop().create_future()
        self.waiting.setdefault(key, []).append((number, answer))
        async with self.turn:
            await asyncio.sleep(0)
            if batch := self.waiting.pop(key, []):
                await self._evaluated(key, batch)
        record = await answer
        hear(_spans(record))
        if isinstance(record.outputs, str) and record.outputs.startswith(_FAILED):
            raise RuntimeError(record.outputs)
        self.verdicts[number, repr(record.outputs)] = record
        return record.outputs

    async def _evaluated(
        self, key: tuple[str, ...], batch: list[tuple[int, asyncio.Future[EvaluationResultRecord]]]
    ) -> None:
        prompts = dict(zip(self.names.values(), key, strict=True))
        rows = [self.rows[number] for number, _ in batch]
        try:
            with unheard():  # rows are told apart by their traces
                records = await in_thread(partial(self.eval_fn, prompts, rows))
        except Exception as error:
            for _, answer in batch:
                answer.set_exception(error)
            return
        for (_, answer), record in zip(batch, records, strict=True):
            answer.set_result(record)

    def score(self, output: Any, target: Any, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what MLflow's scorers said of an output, with their reasons as feedback."""
        number = self._numbers[_key([inputs[name] for name in self._inputs])]
        record = self.verdicts[number, repr(output)]
        if record.score is None:
            raise ValueError("no scorer has scored it; give optimize_prompts(scorers=[...])")
        own = record.individual_scores.values()
        score = float(record.score)
        if len(own) > 1 and abs(score - sum(own)) < 1e-9:
            score /= len(own)  # MLflow adds scorers up where no aggregation is given
        if not 0 <= score <= 1:
            raise ValueError(
                f"the scorers come to {score:g}; a score is from 0 to 1. Give "
                "optimize_prompts(aggregation=...) that brings it there"
            )
        said = [f"{name}: {why}" for name, why in record.rationales.items() if why]
        return {"score": score, "feedback": "\n".join(said)}

    def _named_alike(self) -> list[str]:
        """Return names for the inputs; where rows or names do not fit, one for all of them."""
        first = list(self.rows[0]["inputs"])
        plain = all(str(name).isidentifier() and name not in RESERVED for name in first)
        alike = all(list(row["inputs"]) == first for row in self.rows)
        clash = {*first} & {*self.names, "program"}
        return first if first and plain and alike and not clash else ["request"]

    def _values(self, row: Mapping[str, Any]) -> list[Any]:
        given = row["inputs"]
        return [given] if self._inputs == ["request"] else [given[name] for name in self._inputs]


def _spans(record: EvaluationResultRecord) -> Sequence[tuple[str, str | None, Heard | None]]:
    """Return the spans of a row in the order in which they ended, with the calls they are of."""
    spans = record.trace.data.spans if record.trace is not None else ()
    return [
        (
            one.span_id,
            one.parent_id,
            heard(one.inputs, one.outputs) if one.span_type in _MODELS else None,
        )
        for one in sorted(spans, key=lambda one: one.end_time_ns or 0)
    ]


def _declared(text: str) -> Mapping[str, Any]:
    """Return a prompt as a parameter, which keeps the names that MLflow fills in."""
    return {"value": text, "keep": list(dict.fromkeys(_HOLE.findall(text)))}


def _expected(row: Mapping[str, Any]) -> Any:
    found = row.get("expectations") or {"expected_response": row.get("outputs")}
    one = isinstance(found, Mapping) and list(found) == ["expected_response"]
    return found["expected_response"] if one else found


def _key(values: Sequence[Any]) -> str:
    return json.dumps(list(values), sort_keys=True, default=repr)


def _mean(summary: Summary | None) -> float | None:
    return None if summary is None else summary.mean


@dataclass(frozen=True, slots=True)
class _Metrics:
    """Logs how the descent goes in the run of optimize_prompts."""

    client: MlflowClient
    run_id: str

    def scored(self, initial: Scores) -> None:
        """Log the score before the first step."""
        if initial.test is not None:
            self.client.log_metric(self.run_id, "test_score", initial.test.mean, step=0)

    def stepped(self, step: Step) -> None:
        """Log whether the step's proposal was accepted, and the scores that decided it."""
        accepted = float(step.tried.decision.accepted)
        self.client.log_metric(self.run_id, "accepted", accepted, step=step.number)
        if (summary := step.tried.current.summary()) is not None:
            self.client.log_metric(self.run_id, "train_score", summary.mean, step=step.number)
