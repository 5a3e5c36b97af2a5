"""A node that looks things up by meaning, with a static embedding model that is made here."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Start

import sgdflow
from sgdflow.config import retrieval
from sgdflow.config.build import build_graph, expand_graph
from sgdflow.config.compose import compose
from sgdflow.config.paths import prompt_folders
from sgdflow.config.prepare import prepare
from sgdflow.data.embedding import FILES, Embeddings, Nearness
from sgdflow.errors import ConfigError
from sgdflow.executor.backward import Differentiation, backward_pass
from sgdflow.executor.backward_functions import PromptBackward
from sgdflow.executor.forward import forward_pass
from sgdflow.llm import Message
from sgdflow.llm.scripted import Said, ScriptedLLM
from sgdflow.prompting.ask import Ask
from sgdflow.prompting.replies import ReplyFormat
from sgdflow.prompting.templates import Prompts
from sgdflow.update.evidence import gather_evidence

PROMPTS = Prompts(prompt_folders(Path("nowhere")))
WORDS = {
    "[UNK]": (9.0, 9.0, 9.0),
    **dict.fromkeys(["broken", "smashed", "damage"], (1.0, 0.0, 0.0)),
    **dict.fromkeys(["days", "deadline", "seven"], (0.0, 1.0, 0.0)),
    **dict.fromkeys(["price", "costs"], (0.0, 0.0, 1.0)),
    "claimed": (0.5, 0.5, 0.0),
    "against": (-1.0, -1.0, -1.0),
}
KEY = "graph.nodes.passages.forward.embeddings"
CLAIM = "## Claims\n\nDamage has to be claimed within seven days of delivery"


def model_in(folder: Path, words: Mapping[str, Sequence[float]] = WORDS) -> str:
    """Write a model that knows these words into a folder, and return its name."""
    import numpy as np
    from model2vec import StaticModel
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.normalizers import Lowercase
    from tokenizers.pre_tokenizers import Whitespace

    ids = {word: place for place, word in enumerate(words)}
    tokenizer = Tokenizer(WordLevel(ids, unk_token="[UNK]"))
    tokenizer.normalizer = Lowercase()
    tokenizer.pre_tokenizer = Whitespace()
    StaticModel(np.array(list(words.values()), "float32"), tokenizer).save_pretrained(folder)
    return str(folder)


def cosines(texts: Sequence[str], query: str) -> list[float]:
    """The cosine of the mean vectors, from its definition."""

    def mean(text: str) -> list[float]:
        known = [WORDS[word] for word in text.lower().split() if word in WORDS]
        return [sum(row[i] for row in known) / max(len(known), 1) for i in range(3)]

    asked = mean(query)
    rows = [mean(text) for text in texts]
    norm = math.hypot(*asked)
    dots = [sum(a * b for a, b in zip(row, asked, strict=True)) for row in rows]
    lengths = [math.hypot(*row) * norm for row in rows]
    return [dot / length if length else 0.0 for dot, length in zip(dots, lengths, strict=True)]


def test_passages_are_ranked_by_the_cosine_of_their_embeddings(tmp_path: Path) -> None:
    texts = [
        "costs price", "seven days damage", "nothing known", "damage", "against", "damage damage",
        " ".join(["price"] * 600 + ["smashed"] * 2000),
    ]  # fmt: skip
    ranking = Nearness(texts, Embeddings(model_in(tmp_path / "m")))
    for query in ("smashed", "Broken deadline", "damage price damage"):
        scores = cosines(texts, query)
        wanted = [place for place in range(len(texts)) if scores[place] > 0]
        wanted.sort(key=lambda place: -scores[place])
        assert list(ranking.best(query, 9)) == wanted
        assert list(ranking.best(query, 2)) == wanted[:2]
    assert list(ranking.best("a word that no model knows", 9)) == []
    assert list(ranking.best("", 9)) == []


def team(role: str, node: str, messages: Sequence[Message]) -> Said:
    if role == "backward":
        return '<gradient name="passages">The passage on claims is missing.</gradient>'
    return f"<output>{'smashed deadline' if node == 'query' else 'Within seven days.'}</output>"


def test_gradients_go_through_the_search_to_who_wrote_the_query(tmp_path: Path) -> None:
    """The query shares no word with what is found: BM25 finds nothing there."""
    words = ["graph=embedded", f"{KEY}={model_in(tmp_path / 'm')}"]
    graph = build_graph(expand_graph(compose(words)["graph"]), PROMPTS)
    llm, start, names = ScriptedLLM(team), graph.initial(), graph.optimisable
    passed = asyncio.run(forward_pass(graph, start, "one", {"question": "When?"}, llm))
    assert passed.failures == {}
    found = passed.values["passages"]
    assert found[0]["text"].startswith(CLAIM)
    asked = next(one for one in llm.requests if one.node == "answer").messages[-1].content
    assert json.dumps(found, ensure_ascii=False) in asked
    joint = Ask(PROMPTS, "backward/joint.jinja", "backward", ReplyFormat("tagged", "gradient"))
    how = Differentiation(PromptBackward(joint))
    back = asyncio.run(backward_pass(graph, start, passed, "Wrong.", names, how, llm))
    assert back.failures == {}
    assert list(back.calls["passages"]) == []
    [handed] = [one.value for one in back.gradients["query"]]
    assert "nearest in meaning" in handed
    assert '<value name="query">\nsmashed deadline\n</value>' in handed
    assert f'<passage from="parcels.md">\n{CLAIM}' in handed
    assert "The passage on claims is missing." in handed
    evidence = gather_evidence(graph, [passed], {"one": back}, names)
    assert set(evidence) == {"query.instruction", "answer.instruction"}
    assert [item.gradients[0].value for item in evidence["query.instruction"]] == [handed]
    assert [item.gradients[0].value for item in evidence["answer.instruction"]] == ["Wrong."]


def refused(home: Path, at: Start, name: str) -> str:
    code, _, err = at(home, "check", "graph=embedded", f"{KEY}={name}")
    assert code == 1
    return err


def test_check_finds_what_is_missing_before_any_call(
    tmp_path: Path, at: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "none"))
    lost = (
        f"{KEY}: there is no folder 'a/model', and no model of this name that was fetched from "
        "the Hugging Face hub; a run fetches none. If it is on the hub, fetch it once: "
        "hf download a/model"
    )
    assert lost in refused(tmp_path, at, "a/model")
    name = "~nobody-lives-here/model"
    nobodys = f"{KEY}: '{name}': nobody has the home ~nobody-lives-here; write the whole path."
    assert nobodys in refused(tmp_path, at, f"'{name}'")
    for name in ("no/such/folder", "long" * 99):
        assert f"{KEY}: there is no folder '{name}'" in refused(tmp_path, at, f"'{name}'")
    (tmp_path / "empty").mkdir()
    held = "Expected: a folder with model.safetensors, tokenizer.json and config.json."
    empty = refused(tmp_path, at, "empty")
    assert f"{KEY}: 'empty' cannot be read as a model of model2vec: Could not find" in empty
    assert held in empty
    model_in(tmp_path / "cut")
    weights = tmp_path / "cut/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    assert held in refused(tmp_path, at, "cut")
    with pytest.raises(ConfigError, match="a run fetches none"):
        sgdflow.load("graph=embedded", f"{KEY}=a/model")
    # A graph can be looked at without.
    assert at(tmp_path, "graph", "graph=embedded")[0] == 0


def test_a_missing_library_is_told_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieval, "embeds", lambda: False)
    monkeypatch.setattr(retrieval, "available", lambda: False)
    with pytest.raises(ConfigError) as told:
        build_graph(expand_graph(compose(["graph=embedded"])["graph"]), PROMPTS)
    assert str(told.value) == (
        f"{KEY}: searching by embeddings takes model2vec, which is not installed: "
        "pip install 'sgdflow[embeddings]'."
    )


@pytest.mark.parametrize(("said", "told"), [("[a]", "input should be a valid string"), ("''", "")])
def test_what_is_no_name_is_told_with_its_key(said: str, told: str) -> None:
    with pytest.raises(ConfigError, match=f"^{KEY}: ") as error:
        prepare(compose(["graph=embedded", f"{KEY}={said}"]), PROMPTS, {})
    assert told in str(error.value)


def own(home: Path) -> dict[str, Any]:
    """Make a project of one search, and return its graph."""
    model_in(home / "m")
    (home / "book.md").write_text("The damage of parcels.\n\nThe price of parcels.")
    forward = {"retrieve": "book.md", "embeddings": "m", "count": 1}
    graph = {
        "name": "own", "inputs": ["question"], "output": "found",
        "nodes": {"found": {"predecessors": ["question"], "forward": forward}},
    }  # fmt: skip
    (home / "conf/graph").mkdir(parents=True)
    (home / "conf/graph/own.yaml").write_text(yaml.safe_dump(graph))
    return graph


def test_an_exported_graph_brings_its_model_along_and_a_stranger_reads_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    own(tmp_path)
    (tmp_path / "m/notes").mkdir()
    (tmp_path / "m/notes/private.json").write_text("{}")
    folder = sgdflow.load("graph=own").export("away")
    copied = {file.name for file in (folder / "documents/found.model").rglob("*")}
    assert copied == {"model.safetensors", "tokenizer.json", "config.json"}
    (tmp_path / "m").rename(tmp_path / "gone")
    needed = (folder / "requirements.txt").read_text()
    assert "model2vec==" in needed
    assert "bm25s" not in needed
    (tmp_path / "elsewhere").mkdir()
    moved = folder.rename(tmp_path / "elsewhere/g")
    monkeypatch.chdir(tmp_path / "elsewhere")
    passed = sgdflow.load("g").run({"question": "smashed"})
    assert [one["text"] for one in passed.values["found"]] == ["The damage of parcels."]
    graph = (moved / "graph.yaml").read_text()
    assert "embeddings: documents/found.model" in graph
    (moved / "graph.yaml").write_text(graph.replace("documents/found.model", "../gone"))
    with pytest.raises(ConfigError) as told:
        sgdflow.load("g")
    key = "graph.nodes.found.forward.embeddings"
    assert f"- read the embedding model ../gone ({key})" in str(told.value)


def test_a_model_of_the_hub_is_exported_with_the_revision_that_is_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Later revisions of the same name would answer otherwise."""
    monkeypatch.chdir(tmp_path)
    first, second = "1" * 40, "2" * 40
    hub = tmp_path / "hub/models--a--model"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(hub.parent))
    own(tmp_path)
    model_in(hub / "snapshots" / first)
    (hub / "refs").mkdir()
    (hub / "refs/main").write_text(first)
    folder = sgdflow.load("graph=own", "graph.nodes.found.forward.embeddings=a/model").export("g")
    assert f"embeddings: a/model@{first}" in (folder / "graph.yaml").read_text()
    model_in(hub / "snapshots" / second, {**WORDS, "smashed": (0.0, 0.0, 1.0)})
    (hub / "refs/main").write_text(second)
    found = [
        sgdflow.load(*words).run({"question": "smashed"}).values["found"][0]["text"]
        for words in (["g"], ["graph=own", "graph.nodes.found.forward.embeddings=a/model"])
    ]
    assert found == ["The damage of parcels.", "The price of parcels."]
    (hub / "snapshots" / first).rename(tmp_path / "gone")
    with pytest.raises(ConfigError, match=f"fetch it once: hf download a/model --revision {first}"):
        sgdflow.load("g")


def test_a_run_is_not_gone_on_with_over_another_model(tmp_path: Path, at: Start) -> None:
    own(tmp_path)
    answer = {
        "predecessors": ["question", "found"],
        "parameters": {"instruction": "Answer."},
    }
    graph = yaml.safe_load((tmp_path / "conf/graph/own.yaml").read_text())
    graph["nodes"]["answer"], graph["output"] = answer, "answer"
    (tmp_path / "conf/graph/own.yaml").write_text(yaml.safe_dump(graph))
    rows = [f'{{"question": "smashed {n}", "target": "x"}}\n' for n in range(60)]
    (tmp_path / "rows.jsonl").write_text("".join(rows))
    words = [
        "optimize", "graph=own", "task=table", "task.path=rows.jsonl", "task.target=target",
        "task.inputs={question: question}", "tracking=none", "method.stop.steps=1",
        "hydra.run.dir=runs/first",
    ]  # fmt: skip
    code, _, err = at(tmp_path, *words)
    assert code == 0, err
    model_in(tmp_path / "m", {**WORDS, "parcels": (1.0, 1.0, 1.0)})
    code, _, err = at(tmp_path, *words)
    assert code == 1
    assert err.splitlines()[-1] == (
        f"{tmp_path}/runs/first holds a run that searched with another embedding model than "
        "graph.nodes.found.forward.embeddings is now. To go on with the run that is there, put "
        "the model back as it was. For a run with the one that is there now, choose another "
        "directory (hydra.run.dir)."
    )
    model_in(tmp_path / "m")
    (tmp_path / "m/result.json").write_text("{}")  # nothing of the model
    assert at(tmp_path, *words)[0] == 0


def test_what_is_known_as_a_model_is_all_that_its_library_reads() -> None:
    from model2vec.persistence.datamodels import get_all_model2vec_paths

    assert sorted(FILES) == get_all_model2vec_paths()
