"""Parameters that start from versions in MLflow's Prompt Registry."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from conftest import Start
from mlflow import MlflowClient
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy import Connection, Engine, event

import sgdflow
from sgdflow.config.written import written_of
from sgdflow.errors import ConfigError
from sgdflow.tracking.client import Run, prepare, start_run
from sgdflow.tracking.prompts import PromptBook, Standing

FIRST, SECOND = "Answer {{ it }} in ${x} and ${oc.env:HOME}.", "Answer it well."


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A registry with two versions of a prompt, of which the first one is called best."""
    uri = f"sqlite:///{tmp_path_factory.mktemp('registry') / 'runs.db'}"
    client = MlflowClient(uri, registry_uri=uri)
    client.create_prompt("answer")
    for text in (FIRST, SECOND):
        client.create_prompt_version("answer", text)
    client.set_prompt_alias("answer", "best", 1)
    client.create_prompt("chat")
    client.create_prompt_version("chat", [{"role": "user", "content": "Answer it."}])
    return uri


def graph(instruction: Any, tone: Any = "Be brief.") -> Mapping[str, Any]:
    node = {
        "predecessors": ["question"],
        "parameters": {"instruction": instruction, "tone": {"shared": "tone"}},
    }
    return {
        "inputs": ["question"],
        "parameters": {"tone": tone},
        "nodes": {"answer": node},
        "output": "answer",
    }


def test_texts_stand_in_place_of_addresses(store: str) -> None:
    """By alias or number, of a node or shared; what is written down is the text."""
    declared = graph({"value": "prompts:/answer@best", "frozen": True}, "prompts:/answer/2")
    flow = sgdflow.Flow(f"tracking.uri={store}", graph=declared)
    assert flow.parameters == {"tone": SECOND, "answer.instruction": FIRST}
    assert flow.graph.parameters["answer.instruction"].frozen
    assert "prompts:/" not in str(written_of(flow.config))
    MlflowClient(store, registry_uri=store).set_prompt_alias("answer", "now", 2)
    later = sgdflow.Flow(f"tracking.uri={store}", graph=graph("prompts:/answer@now"))
    assert later.parameters["answer.instruction"] == SECOND


def test_the_command_line_takes_them_too(store: str, tmp_path: Path, at: Start) -> None:
    key = "graph.nodes.answer.parameters.instruction"
    words = ("graph", "graph=single", f"tracking.uri={store}")
    code, said, told = at(tmp_path, *words, f"{key}=prompts:/answer/2")
    assert (code, told) == (0, "")
    assert f"    {SECOND}\n" in said
    code, said, told = at(tmp_path, *words, f"{key}=prompts:/answer@worst")
    assert (code, said) == (1, "")
    assert told.startswith(f"{key}: there is no prompts:/answer@worst in sqlite:///")


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("prompts:/answer/9", "there is no prompts:/answer/9 in sqlite:///"),
        ("prompts:/anwser@best", "there is no prompts:/anwser@best in sqlite:///"),
        ("prompts:/answer", "'prompts:/answer' names no version of a prompt. Write prompts:/NAME@"),
        ("prompts:/chat/1", "prompts:/chat/1 is a chat prompt; a parameter is a text."),
    ],
)
def test_what_cannot_be_had_is_told(address: str, told: str, store: str) -> None:
    with pytest.raises(ConfigError) as caught:
        sgdflow.Flow(f"tracking.uri={store}", graph=graph(address, address))
    lines = str(caught.value).splitlines()
    places = ["graph.parameters.tone", "graph.nodes.answer.parameters.instruction"]
    for line, place in zip(lines, places, strict=True):
        assert line.startswith(f"{place}: {told}")


def test_without_a_store_nothing_is_made(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"answer.parameters.instruction: There are no runs at"):
        sgdflow.Flow(
            f"tracking.uri=sqlite:///{tmp_path}/none.db", graph=graph("prompts:/answer@best")
        )
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """What is asked of a registry, and the transactions that it takes."""
    asked: Counter[str] = Counter()

    def count(name: str) -> None:
        whole = getattr(SqlAlchemyStore, name)

        def one(*given: Any, **named: Any) -> Any:
            asked[name] += 1
            return whole(*given, **named)

        monkeypatch.setattr(SqlAlchemyStore, name, one)

    for name in ("get_prompt", "search_model_versions", "search_prompts", "set_prompt_tag"):
        count(name)

    def commit(connection: Connection) -> None:
        asked["commit"] += 1

    event.listen(Engine, "commit", commit)
    yield asked
    event.remove(Engine, "commit", commit)


TEXTS = {f"n{number}.instruction": f"Do part {number}." for number in range(45)}
ON = "validation of t"


def is_kept(store: str, graph: str, runs: str, experiment: str) -> None:
    client = MlflowClient(store, registry_uri=store)
    for name, text in TEXTS.items():
        where = f"name = '{graph}.{name}' and tags.`mlflow.prompt.is_prompt` = 'true'"
        [kept] = client.search_model_versions(where)
        assert kept.tags["mlflow.prompt.run_ids"] == runs
        best = client.get_prompt_version_by_alias(f"{graph}.{name}", "best")
        assert (best.template, best.commit_message) == (text, "the start")
        tags = client.get_prompt(f"{graph}.{name}").tags
        assert (tags["sgdflow.best_score"], tags["sgdflow.best_on"]) == ("0.5", ON)
        assert tags["_mlflow_experiment_ids"] == f",{experiment},"


def test_many_prompts_are_looked_up_and_written_together(
    store: str, monkeypatch: pytest.MonkeyPatch, counted: Counter[str]
) -> None:
    """A transaction for each of a thousand, or for each of their tags, would take a minute."""
    experiment = prepare(store, "many")
    monkeypatch.setattr("sgdflow.tracking.prompts._PAGE", 20)

    def recorded(run: Run, score: float) -> Counter[str]:
        counted.clear()
        book = PromptBook(store, run, "man/y")
        book.keep(TEXTS, "the start", {})
        book.crown(TEXTS, Standing(score, ON))
        return Counter(counted)

    first, second = (start_run(store, experiment, name, {}) for name in "ab")
    new = recorded(first, 0.5)
    # Pages of twenty: none is there at first, three after; twice three transactions.
    assert new == {"search_prompts": 1 + 3, "set_prompt_tag": 2 * 45, "commit": new["commit"]}
    assert new["commit"] == 1 + 3 + 3 + 3
    again = recorded(second, 0.5)
    assert (again["search_prompts"], again["search_model_versions"]) == (3 + 3, 45)
    assert (again["set_prompt_tag"], again["commit"]) == (0, 3 + 3 + 3 + 3)
    assert recorded(second, 0.25)["set_prompt_tag"] == 0
    is_kept(store, "man_y", f"{first.id},{second.id}", experiment)


def test_prompts_that_cannot_be_written_together_are_written_one_by_one(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of a transaction is undone where another process has made one of its prompts."""
    experiment = prepare(store, "raced")
    client = MlflowClient(store, registry_uri=store)
    run = start_run(store, experiment, "a", {})
    book, there = PromptBook(store, run, "raced"), PromptBook._there

    def faster(self: PromptBook, prompts: Collection[str]) -> Mapping[str, Mapping[str, str]]:
        found = there(self, prompts)
        if len(prompts) > 1 and not found:
            client.create_prompt("raced.n30.instruction", tags={"sgdflow.graph": "raced"})
        return found

    monkeypatch.setattr(PromptBook, "_there", faster)
    book.keep(TEXTS, "the start", {})
    book.crown(TEXTS, Standing(0.5, ON))
    is_kept(store, "raced", run.id, experiment)
