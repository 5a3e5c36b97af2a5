"""Parameters that start from versions in MLflow's Prompt Registry."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from conftest import Start
from mlflow import MlflowClient

import sgdflow
from sgdflow.config.written import written_of
from sgdflow.errors import ConfigError
from sgdflow.tracking.client import prepare, start_run
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


def test_many_prompts_are_looked_up_together(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A transaction for each of a thousand, whether it is there, would take as long as a run."""
    asked: Counter[str] = Counter()

    def counted(name: str) -> None:
        whole = getattr(MlflowClient, name)

        def one(*given: Any, **named: Any) -> Any:
            asked[name] += 1
            return whole(*given, **named)

        monkeypatch.setattr(MlflowClient, name, one)

    counting = ("get_prompt", "search_model_versions", "search_prompts", "set_prompt_tag")
    for name in counting:
        counted(name)
    experiment = prepare(store, "many")
    texts = {f"n{number}.instruction": f"Do part {number}." for number in range(25)}
    monkeypatch.setattr("sgdflow.tracking.prompts._PAGE", 10)
    client, on = MlflowClient(store, registry_uri=store), "validation of t"

    def looked_up(run: Any, score: float) -> Counter[str]:
        asked.clear()
        book = PromptBook(store, run, "man/y")
        book.keep(texts, "the start", {})
        book.crown(texts, Standing(score, on))
        return Counter(asked)

    first, second = (start_run(store, experiment, name, {}) for name in "ab")
    new = looked_up(first, 0.5)
    # Pages of ten: none is there at first, three after.
    assert new == {"search_prompts": 1 + 3, "set_prompt_tag": 2 * 25}
    again = looked_up(second, 0.5)
    assert again == {"search_prompts": 3 + 3, "search_model_versions": 25}
    assert looked_up(second, 0.25)["set_prompt_tag"] == 0
    for name in texts:
        where = f"name = 'man_y.{name}' and tags.`mlflow.prompt.is_prompt` = 'true'"
        [kept] = client.search_model_versions(where)
        assert kept.tags["mlflow.prompt.run_ids"] == f"{first.id},{second.id}"
        best = client.get_prompt_version_by_alias(f"man_y.{name}", "best")
        assert (best.template, best.commit_message) == (texts[name], "the start")
        tags = client.get_prompt(f"man_y.{name}").tags
        told = tags["sgdflow.best_score"], tags["sgdflow.best_on"], tags["sgdflow.graph"]
        assert told == ("0.5", on, "man/y")
        assert tags["_mlflow_experiment_ids"] == f",{experiment},"
