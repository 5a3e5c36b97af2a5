"""Tracking: what is logged is read back from real stores."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import yaml

from sgdflow.config.compose import compose
from sgdflow.config.prepare import validated
from sgdflow.config.written import written_of
from sgdflow.errors import ConfigError
from sgdflow.records import as_yaml
from sgdflow.tracking import (
    PARENT_RUN,
    NullTracker,
    Settings,
    Tracker,
    open_tracker,
    store_uri,
)
from sgdflow.tracking.client import RETURNED, STOP_REASON, client, prepare
from sgdflow.tracking.mlflow import MlflowTracker
from sgdflow.tracking.run_file import Logged
from sgdflow.tracking.store import sqlite_file

TEXT = "Use {{ weight }} and ${zone}:\n\n  - 名前 é 😀 \ttab, trailing \n{% if x %}"


def score(mean: float, failed: int = 0) -> dict[str, Any]:
    return {"mean": mean, "n": 10, "low": mean - 0.1, "high": mean + 0.1, "failed": failed}


def step(number: int, accepted: bool, text: str) -> dict[str, Any]:
    roles = ("forward", "backward", "optimizer")
    return {
        "format": 1,
        "step": number,
        "scores": {
            "train": score(0.5),
            "candidate": score(0.6, failed=2),
            "validation": score(0.4) if accepted else None,
        },
        "accepted": accepted,
        "reason": "better" if accepted else "not better",
        "sampled": [{"example": "tariff/3", "score": 0.0, "feedback": TEXT, "gradients": {}}],
        "proposal": {"hint.instruction": text},
        "skipped": {},
        "calls": {role: 2 for role in roles},
        "tokens": {role: {"prompt": 10, "completion": 5} for role in roles},
        "cost": {"forward": 0.25, "optimizer": None},
        "malformed": 1,
    }


def result(cost: float | None) -> dict[str, Any]:
    return {
        "format": 1,
        "scores": {
            "train": {"initial": score(0.5), "final": score(0.6)},
            "validation": {"initial": None, "final": None},
            "test": {"initial": score(0.3), "final": score(0.7)},
        },
        "calls": {"forward": 40},
        "tokens": {"forward": {"prompt": 100, "completion": 50}},
        "cost": {"forward": 0.5, "optimizer": cost},
        "steps": 2,
        "accepted": 1,
        "stop_reason": "steps: all 2 were taken",
        "seconds": 1.5,
    }


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store in a folder that is hard to write as an address."""
    uri = store_uri(None, tmp_path_factory.mktemp("a b%41 #é"))
    prepare(uri, "made with the store")
    return uri


def run_of(uri: str, tracker: MlflowTracker) -> Any:
    assert tracker.run_id is not None
    return client(uri).get_run(tracker.run_id)


def history(uri: str, run_id: str, key: str) -> list[tuple[int, float]]:
    return [(m.step, m.value) for m in client(uri).get_metric_history(run_id, key)]


def artifact(run: Any, path: str) -> str:
    folder = urllib.request.url2pathname(run.info.artifact_uri.removeprefix("file://"))
    return (Path(folder) / path).read_text(encoding="utf-8")


def test_a_whole_run_is_read_back(store: str, tmp_path: Path) -> None:
    tracker = MlflowTracker(store, "whole/run é", None)
    start = {"hint.instruction": "start", "answer.instruction": TEXT}
    tracker.started("name", {"seed": 1}, {"sgdflow.graph": "hints"}, start)
    run = run_of(store, tracker)
    tracker.scored("initial", {"train": score(0.5), "validation": None, "test": score(0.3)})
    took = {"forward": [float(i) for i in range(1, 101)], "optimizer": []}
    taken = {"from": [0], "candidate": 1, "why": "part", "others": [], "pool": [1]}
    tracker.stepped(step(1, True, TEXT) | taken, {}, took)
    down = {"from": [1], "candidate": None, "why": "joint", "others": [], "pool": [1]}
    tracker.stepped(step(2, False, "rejected") | down, {})
    (tmp_path / "result.json").write_text("{}", encoding="utf-8")
    returned = {"returned": {"step": 1, "why": "the last that the gate accepted"}}
    tracker.finished(result(cost=None) | returned, tmp_path)

    assert history(store, run.info.run_id, "score/train") == [(0, 0.5), (1, 0.6), (2, 0.5)]
    assert history(store, run.info.run_id, "score/validation") == [(1, 0.4)]
    assert history(store, run.info.run_id, "spent_calls/backward") == [(1, 2), (2, 4)]
    assert history(store, run.info.run_id, "spent_tokens/forward_prompt") == [(1, 10), (2, 20)]
    assert history(store, run.info.run_id, "step/accepted") == [(1, 1), (2, 0)]
    assert history(store, run.info.run_id, "spent_cost/forward") == [(1, 0.25), (2, 0.5)]
    assert history(store, run.info.run_id, "spent_time/forward_p95") == [(1, 95.0)]
    run = client(store).get_run(run.info.run_id)
    assert (run.info.status, run.info.run_name) == ("FINISHED", "name")
    assert run.data.tags["sgdflow.graph"] == "hints"
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    )
    assert run.data.tags.get("mlflow.source.git.commit", "") == commit.stdout.strip()
    assert run.data.tags[STOP_REASON] == "steps: all 2 were taken"
    assert run.data.tags[RETURNED] == "the texts of step 1: the last that the gate accepted"
    metrics = run.data.metrics
    shown = [
        metrics[key] for key in ("score_initial/test", "score_final/test", "score_final/test_low")
    ]
    assert (shown, metrics["step/failed_examples"]) == ([0.3, 0.7, 0.6], 2)
    assert metrics["step/proposed_characters"] == len("rejected")
    assert metrics["step/parameters_characters"] == 2 * len(TEXT)
    assert (metrics["total/calls_forward"], metrics["total/cost_forward"]) == (40, 0.5)
    assert "total/cost" not in metrics
    assert yaml.safe_load(artifact(run, "parameters/initial.yaml")) == start
    changed = yaml.safe_load(artifact(run, "parameters/step_001.yaml"))
    assert changed == start | {"hint.instruction": TEXT}
    with pytest.raises(FileNotFoundError):
        artifact(run, "parameters/step_002.yaml")
    assert artifact(run, "candidates.txt").splitlines() == [
        "0 the start",
        "1 0.600 on 10, step 1, part of a proposal from 0: hint.instruction; "
        "1 proposal from it turned down",
    ]
    learned = json.loads(artifact(run, "gradients/step_002.json"))
    assert (learned["sampled"][0]["feedback"], learned["reason"]) == (TEXT, "not better")
    assert artifact(run, "result.json") == "{}"
    assert not Path("mlruns").exists()


def versions(uri: str, name: str) -> dict[str, Any]:
    """Return the versions of a prompt by text."""
    store = client(uri)
    there = store.search_model_versions(
        f"name = '{name}' and tags.`mlflow.prompt.is_prompt` = 'true'", order_by=["version_number"]
    )
    every = [store.get_prompt_version(name, one.version) for one in there]
    found = {version.template: version for version in every}
    assert len(found) == len(every)
    return found


def best_of(uri: str, name: str) -> str:
    return str(client(uri).get_prompt_version_by_alias(name, "best").template)


def finish(tracker: MlflowTracker, folder: Path, parameters: dict[str, Any], mean: float) -> None:
    (folder / "parameters.yaml").write_text(as_yaml(parameters), encoding="utf-8")
    whole = result(cost=None)
    whole["scores"]["validation"]["final"] = score(mean)
    tracker.finished(whole, folder)


def test_accepted_texts_are_versions_of_prompts(
    store: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    name = "des_k.hint.instruction"
    start = {"hint.instruction": "start", "weights": [1, 2], "long.instruction": "x" * 100_001}
    about = {
        "sgdflow.graph": "des/k",
        "sgdflow.task": "tariff",
        "sgdflow.method": "semantic",
    }

    def tracker() -> MlflowTracker:
        made = MlflowTracker(store, "prompts", None, tmp_path / "mlflow.json")
        made.started("n", {}, about, start)
        return made

    first = tracker()
    run_id = run_of(store, first).info.run_id
    first.stepped(step(1, True, TEXT), {})
    first.stepped(step(2, False, "rejected"), {})
    first.stopped("interrupted")
    again = tracker()
    assert again.run_id == run_id
    again.stepped(step(1, True, TEXT), {})
    again.stepped(step(2, False, "rejected"), {})
    again.stepped(step(3, True, "last"), {})
    finish(again, tmp_path, {"hint.instruction": TEXT}, 0.8)

    assert list(versions(store, name)) == ["start", TEXT, "last"]
    kept = versions(store, name)[TEXT]
    assert kept.commit_message == "step 1: better; validation 0.4"
    tags = {key: kept.tags[f"sgdflow.{key}"] for key in ("run_id", "step", "task", "method")}
    assert tags == {"run_id": run_id, "step": "1", "task": "tariff", "method": "semantic"}
    assert best_of(store, name) == TEXT
    assert "no room for long.instruction (100001 characters, at most 100000)" in caplog.text
    assert [one.name for one in client(store).search_prompts("name LIKE 'des_k.%'")] == [name]

    # Other runs on the graph: a worse one, a better one, one on another task.
    for task, mean, text, best in (
        ("tariff", 0.7, "last", TEXT),
        ("tariff", 0.9, "last", "last"),
        ("other", 0.1, "start", "start"),
    ):
        other = MlflowTracker(store, "prompts", None)
        other.started("n", {}, about | {"sgdflow.task": task}, {"hint.instruction": "start"})
        other.stepped(step(1, True, text), {})
        finish(other, tmp_path, {"hint.instruction": text}, mean)
        assert best_of(store, name) == best
    linked = {
        text: one.tags["mlflow.prompt.run_ids"] for text, one in versions(store, name).items()
    }
    assert {text: len(ids.split(",")) for text, ids in linked.items()} == {
        "start": 4,
        TEXT: 1,
        "last": 3,
    }


def traced_step() -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a step with a right, a wrong and a failed example, in this order."""
    record = step(4, False, "new")
    names = ("right", "wrong", "failed")
    record["sampled"] = [
        {
            "example": name,
            "score": float(name == "right"),
            "values": {"question": TEXT, "sum": 3, "answer": f"{name} {TEXT}"},
            "feedback": "It is wrong.",
            "gradients": {"answer": [{"source": "loss", "value": "It is wrong."}]}
            | ({} if name == "failed" else {"sum": [{"source": "answer", "value": TEXT}]}),
            "failures": {"sum": "answer: no tag <sum>"} if name == "failed" else {},
        }
        for name in names
    ]

    def call(role: str, reply: str | None) -> dict[str, Any]:
        messages = [{"role": "system", "content": "s"}, {"role": "user", "content": TEXT * 50}]
        tokens = {"prompt": 7, "completion": 3, "cached": 0}
        made = {"node": "answer", "role": role, "messages": messages, "reply": reply}
        return made | {"tokens": tokens, "malformed": ["no tag"] if role == "backward" else []}

    calls = {
        "step": 4,
        "examples": [
            {
                "example": name,
                "forward": {"answer": [call("forward", TEXT)]},
                "loss": [],
                "backward": {"answer": [call("backward", None if name == "failed" else TEXT)]},
            }
            for name in names
        ],
    }
    return record, calls


def test_sampled_examples_are_traced(store: str, tmp_path: Path) -> None:
    from mlflow.tracing.client import TracingClient

    memory, nodes = tmp_path / "mlflow.json", {"sum": ["question"], "answer": ["question", "sum"]}
    run_id = ""
    for _ in range(2):  # the second time as after a kill, when the step's end had not been logged
        tracker = MlflowTracker(store, "traces", None, memory, prompts=False)
        tracker.started("n", {}, {"sgdflow.method": "semantic"}, {}, nodes)
        run_id = run_of(store, tracker).info.run_id
        tracker._logged = Logged()
        tracker.stepped(*traced_step())
        tracker.stopped("interrupted")
    found = TracingClient(store).search_traces(
        locations=[prepare(store, "traces")],
        filter_string=f"metadata.`mlflow.sourceRun` = '{run_id}'",
    )
    traces = {one.info.tags["sgdflow.example"]: one for one in found}
    assert (len(found), set(traces)) == (2, {"wrong", "failed"})
    wrong, failed = traces["wrong"], traces["failed"]
    assert (wrong.info.state.value, failed.info.state.value) == ("OK", "ERROR")
    tags = {"step": "4", "score": "0.0", "accepted": "false", "method": "semantic"}
    assert {key: wrong.info.tags[f"sgdflow.{key}"] for key in tags} == tags
    names = ["step 4: wrong", "forward", "sum", "answer", "forward model", "loss"]
    names += ["backward", "answer", "backward model"]
    spans = sorted(wrong.data.spans, key=lambda span: span.start_time_ns)
    assert [span.name for span in spans] == names
    assert [span.span_type for span in spans[2:5]] == ["TOOL", "AGENT", "CHAT_MODEL"]
    assert (spans[2].inputs, spans[2].outputs) == ({"question": TEXT}, 3)
    model, backward = spans[4], spans[7]
    assert model.inputs["messages"][1]["content"] == TEXT * 50
    assert model.outputs["choices"][0]["message"]["content"] == TEXT
    assert model.attributes["mlflow.chat.tokenUsage"]["total_tokens"] == 10
    assert backward.outputs == {"sum": TEXT}
    assert spans[8].attributes["sgdflow.malformed"] == ["no tag"]
    parents = {span.span_id: span.name for span in spans}
    assert [parents.get(span.parent_id or "") for span in spans[:4]] == [
        None,
        names[0],
        "forward",
        "forward",
    ]
    bad = [
        (s.name, s.status.description) for s in failed.data.spans if s.status.status_code == "ERROR"
    ]
    assert sorted(bad) == [
        ("answer", "no tag <sum>"),
        ("backward model", "there is no reply"),
        ("step 4: failed", "answer: no tag <sum>"),
    ]


def test_configuration_is_logged_without_secrets_and_never_cut(store: str) -> None:
    config = {
        "llm": {"api_key": "S3CRET", "headers": [{"X-Api-Key": "S3CRET"}], "max_tokens": 5},
        "tracking": {"uri": "postgresql://me:S3CRET@host/runs"},
        "text": TEXT,
        "fits": "x" * 6000,
        "long": "y" * 6001,
        "odd & key": 1,
        "nothing": None,
        "flag": True,
        "empty": {},
        **{f"many_{i}": i for i in range(150)},
    }
    tracker = MlflowTracker(store, "config", None)
    tracker.started("n", written_of(config), {"tokens": "5"}, {})
    run = run_of(store, tracker)
    tracker.finished(result(cost=0.25), Path("nowhere"))
    run = client(store).get_run(run.info.run_id)
    params = run.data.params
    assert params["llm.max_tokens"] == "5"
    hidden = "postgresql://me:${oc.env:SGDFLOW_TRACKING_URI_SECRET}@host/runs"
    assert params["tracking.uri"] == hidden
    assert params["text"] == TEXT
    assert params["fits"] == config["fits"]
    assert not {"long", "odd & key"} & set(params)
    assert (params["nothing"], params["flag"], params["empty"]) == ("null", "true", "{}")
    assert params["many_149"] == "149"
    assert run.data.metrics["total/cost"] == 0.75
    whole = artifact(run, "config.yaml")
    assert yaml.safe_load(whole)["long"] == config["long"]
    assert "S3CRET" not in whole + str(params) + str(run.data.tags)
    assert "tokens" in run.data.tags


def test_runs_that_fail_or_are_stopped(store: str) -> None:
    for end, status in (("failed", "FAILED"), ("stopped", "KILLED")):
        tracker = MlflowTracker(store, "ends", None)
        getattr(tracker, end)("before the start: nothing happens")
        tracker.started("n", {}, {}, {})
        run_id = run_of(store, tracker).info.run_id
        getattr(tracker, end)("why " * 3000 if end == "failed" else "interrupted")
        tracker.failed("ended before: nothing happens")
        run = client(store).get_run(run_id)
        assert run.info.status == status
        if end == "failed":
            assert run.data.tags[STOP_REASON] == "see stop_reason.txt"
            assert artifact(run, "stop_reason.txt") == "why " * 3000
        else:
            assert run.data.tags[STOP_REASON] == "interrupted"


def test_a_store_that_fails_later_costs_no_run(
    store: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = MlflowTracker(store, "later", None)
    tracker.started("n", {}, {}, {})

    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("mlflow.MlflowClient.log_batch", refuse)
    tracker.stepped(step(1, True, TEXT), {})
    tracker.finished(result(cost=None), tmp_path)
    assert "MLflow has not recorded step 1 (disk full)" in caplog.text


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("runs.db", "such as sqlite:///runs.db"),
        ("sqlite://", "names no file"),
        ("sqlite:///{tmp}/text.db", "file is not a database"),
        ("sqlite:///{tmp}/text.db/below.db", "File exists"),
        ("http://127.0.0.1:9", r"nothing answers there \(.*Connection refused\)\. Choose"),
        ("mysql+nodriver://me:S3CRET@127.0.0.1:9/runs", "tracking=none"),
    ],
)
def test_a_store_that_cannot_be_used_is_said_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str, said: str
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")  # less than the default, for speed
    (tmp_path / "text.db").write_text("no database " * 50)
    began = time.monotonic()
    with pytest.raises(ConfigError, match=said) as caught:
        MlflowTracker(uri.format(tmp=tmp_path), "e", None).started("n", {}, {}, {})
    assert "tracking.uri=" in str(caught.value)
    assert "S3CRET" not in str(caught.value)
    assert time.monotonic() - began < 30


def test_a_deleted_experiment_is_explained(store: str) -> None:
    client(store).delete_experiment(prepare(store, "gone"))
    with pytest.raises(ConfigError, match=r"tracking\.experiment=gone was deleted"):
        prepare(store, "gone")


@pytest.mark.parametrize("name", ["x" * 300, "\u4e00" * 300, "a/b: c"])
def test_an_experiment_may_have_a_long_name(store: str, name: str) -> None:
    found = client(store).get_experiment(prepare(store, name))
    assert found.name == name
    folder = found.artifact_location.rpartition("/")[2]
    assert 0 < len(unquote(folder).encode()) <= 255


def test_addresses(tmp_path: Path) -> None:
    assert store_uri(None, tmp_path) == f"sqlite:///{tmp_path}/mlflow.db"
    assert store_uri("sqlite:///a/b.db", tmp_path) == f"sqlite:///{tmp_path}/a/b.db"
    assert sqlite_file(store_uri("sqlite:////x/50%25?.db")) == Path("/x/50%?.db")
    assert store_uri(store_uri("sqlite:////x/50%25?.db")) == "sqlite:////x/50%25%3F.db"
    assert store_uri("http://host:5000") == "http://host:5000"


def test_trackers_by_configuration(store: str) -> None:
    class Chosen:
        kind, uri, experiment, prompts, traces = "none", store, "chosen", True, 2

    settings: Settings = Chosen()
    silent: Tracker = open_tracker(settings, {})
    assert isinstance(silent, NullTracker)
    Chosen.kind = "mlflow"
    assert isinstance(open_tracker(settings, {}), MlflowTracker)
    code = "import sgdflow.tracking, sgdflow.cli.sweep, sys; sys.exit('mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_total_with_an_unknown_part_is_absent(store: str) -> None:
    tracker = MlflowTracker(store, "prices", None)
    tracker.started("name", {}, {}, {})
    run = run_of(store, tracker)
    for number, cost in enumerate((0.25, None, 0.5), 1):
        tracker.stepped({**step(number, False, "x"), "cost": {"forward": cost}}, {})
    tracker.stopped("enough")
    assert history(store, run.info.run_id, "spent_cost/forward") == [(1, 0.25)]


def test_what_mlflow_has_no_room_for_is_said_once_by_name(
    store: str, caplog: pytest.LogCaptureFixture
) -> None:
    config = {"long": "y" * 6001, "odd & key": 1, "fits": "x", **{f"é|{n}": 1 for n in range(5)}}
    tracker = MlflowTracker(store, "room", None)
    tracker.started("n", config, {"sgdflow.graph": "g"}, {})
    for number in (1, 2):
        record = step(number, False, "t")
        record["calls"] = {"a&b": 1}
        tracker.stepped(record, {})
    tracker.finished(result(cost=0.25), Path("nowhere"))
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        "MLflow has no room for 7 parameters: odd & key (its name), é|0 (its name), "
        "é|1 (its name), é|2 (its name), é|3 (its name), and 2 more. The run directory has "
        "everything.",
        "MLflow has no room for 1 metric: spent_calls/a&b (its name). The run directory has "
        "everything.",
    ]


def test_mlflows_own_variables_are_followed_or_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    uri = f"sqlite:///{tmp_path}/team.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "team")
    monkeypatch.setenv("MLFLOW_RUN_ID", "123")
    found = validated(compose([])).tracking
    assert (found.uri, found.experiment) == (uri, "team")
    open_tracker(found, os.environ)
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        f"Recorded as MLFLOW_TRACKING_URI says: {uri}",
        "Recorded as MLFLOW_EXPERIMENT_NAME says: team",
        "MLFLOW_RUN_ID is not followed: every run is a new one; a run directory goes on in its "
        "own.",
    ]
    caplog.clear()
    own = validated(compose(["tracking.uri=sqlite:///own.db", "tracking.experiment=own"])).tracking
    assert (own.uri, own.experiment) == ("sqlite:///own.db", "own")
    open_tracker(own, os.environ)
    assert "MLFLOW_TRACKING_URI is not followed: tracking.uri says otherwise." in caplog.text
    # What a job of a multirun does, the multirun has said.
    caplog.clear()
    open_tracker(own, {**os.environ, PARENT_RUN: "1"})
    assert caplog.text == ""
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.setenv(name, "")
    empty = validated(compose([])).tracking
    assert (empty.uri, empty.experiment) == (None, "sgdflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "./mlruns")
    with pytest.raises(ConfigError) as told:
        store_uri(validated(compose([])).tracking.uri)
    assert str(told.value).startswith(
        "tracking.uri=./mlruns (from MLFLOW_TRACKING_URI) is not the address of an MLflow store"
    )
