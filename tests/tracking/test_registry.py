"""Parameters that start from versions in MLflow's Prompt Registry."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from conftest import Start
from mlflow import MlflowClient

import sgdflow
from sgdflow.config.written import written_of
from sgdflow.errors import ConfigError

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
