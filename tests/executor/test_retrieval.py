"""A node that looks up what its predecessors say in documents."""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections import Counter
from collections.abc import Sequence
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
from sgdflow.config.retrieval import located
from sgdflow.data.documents import passages
from sgdflow.data.ranking import Ranking
from sgdflow.errors import ConfigError
from sgdflow.executor.backward import Differentiation, backward_pass
from sgdflow.executor.backward_functions import PromptBackward
from sgdflow.executor.forward import forward_pass
from sgdflow.inspection import rehearsed
from sgdflow.llm import Message
from sgdflow.llm.scripted import Said, ScriptedLLM
from sgdflow.prompting.ask import Ask
from sgdflow.prompting.replies import ReplyFormat
from sgdflow.prompting.templates import Prompts
from sgdflow.report.reading import shape_of
from sgdflow.update.evidence import gather_evidence

PROMPTS = Prompts(prompt_folders(Path("nowhere")))
QUESTION = {"question": "By when do I have to tell you that it is broken?"}
CLAIM = "## Claims\n\nDamage has to be claimed within seven days of delivery, with a photograph"


def oracle(texts: Sequence[str], query: str) -> list[float]:
    """BM25 as Lucene counts it, from its definition."""
    split = [re.findall(r"\w+", text.casefold()) for text in texts]
    mean = sum(map(len, split)) / len(split)
    scores = []
    for words in split:
        counts, score = Counter(words), 0.0
        for word in re.findall(r"\w+", query.casefold()):
            holding = sum(word in other for other in split)
            idf = math.log(1 + (len(split) - holding + 0.5) / (holding + 0.5))
            length = 1.5 * (1 - 0.75 + 0.75 * len(words) / mean)
            score += idf * counts[word] / (counts[word] + length)
        scores.append(score)
    return scores


@pytest.mark.parametrize("query", ["heavy freight parcel", "free LABEL, shop?", "days days days"])
def test_passages_are_ranked_as_the_formula_ranks_them(query: str) -> None:
    texts = [one.text for one in passages(located("sgdflow/parcels.md", "key"), "key")]
    scores = oracle(texts, query)
    wanted = [place for place in range(len(texts)) if scores[place] > 0]
    wanted.sort(key=lambda place: -scores[place])
    assert list(Ranking(texts).best(query, len(texts))) == wanted
    assert list(Ranking(texts).best(query, 1)) == wanted[:1]


def test_what_shares_no_word_is_not_found_and_of_equals_the_first_is() -> None:
    assert Ranking(["a b", "c"]).best("x, y!", 2) == []
    assert Ranking(["a b", "c"]).best("", 2) == []
    assert Ranking(["c d", "a b", "a b"]).best("b", 2) == [1, 2]


def test_a_passage_is_a_paragraph_with_its_heading_or_a_line_of_json(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner/b.md").write_text(
        "# One\n\nfirst\nstill first\n\n\nsecond\n## Two\n\n# Three\nthird"
    )
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbf# no heading\r\n\r\nnext\r\n")
    (tmp_path / "c.jsonl").write_text(
        '{"text": "fourth", "document": "own"}\n\n{"text": " fifth "}\n'
    )
    (tmp_path / "d.pdf").write_bytes(b"%PDF")
    (tmp_path / ".hidden.md").write_text("hidden")
    assert [(one.document, one.text) for one in passages(tmp_path, "key")] == [
        ("a.txt", "# no heading"),
        ("a.txt", "next"),
        ("own", "fourth"),
        ("c.jsonl", "fifth"),
        ("inner/b.md", "# One\n\nfirst\nstill first"),
        ("inner/b.md", "# One\n\nsecond\n## Two"),
        ("inner/b.md", "# Three\n\nthird"),
    ]


def team(role: str, node: str, messages: Sequence[Message]) -> Said:
    if role == "backward":
        return '<gradient name="passages">The passage on claims is missing.</gradient>'
    return f"<output>{'damage claimed' if node == 'query' else 'Within seven days.'}</output>"


def test_gradients_go_through_the_search_to_who_wrote_the_query() -> None:
    graph = build_graph(expand_graph(compose(["graph=retrieval"])["graph"]), PROMPTS)
    llm, start, names = ScriptedLLM(team), graph.initial(), graph.optimisable
    passed = asyncio.run(forward_pass(graph, start, "one", QUESTION, llm))
    assert passed.failures == {}
    found = passed.values["passages"]
    assert found[0]["document"] == "parcels.md"
    assert found[0]["text"].startswith(CLAIM)
    asked = next(one for one in llm.requests if one.node == "answer").messages[-1].content
    assert json.dumps(found, ensure_ascii=False) in asked
    joint = Ask(PROMPTS, "backward/joint.jinja", "backward", ReplyFormat("tagged", "gradient"))
    how = Differentiation(PromptBackward(joint))
    made = backward_pass(graph, start, passed, "Wrong.", names, how, llm)
    back = asyncio.run(made)
    assert back.failures == {}
    assert list(back.calls["passages"]) == []
    [handed] = [one.value for one in back.gradients["query"]]
    assert "found these:" in handed
    assert '<value name="query">\ndamage claimed\n</value>' in handed
    assert f'<passage from="parcels.md">\n{CLAIM}' in handed
    assert "The passage on claims is missing." in handed
    evidence = gather_evidence(graph, [passed], {"one": back}, names)
    assert [item.gradients[0].value for item in evidence["query.instruction"]] == [handed]
    assert [item.gradients[0].value for item in evidence["answer.instruction"]] == ["Wrong."]


def graph_of(path: str, **more: Any) -> dict[str, Any]:
    node = {"predecessors": ["question"], "forward": {"retrieve": path}}
    nodes = {"found": {**node, **more}, "answer": {"predecessors": ["question", "found"]}}
    return {"name": "g", "inputs": ["question"], "nodes": nodes, "output": "answer"}


KEY = "graph.nodes.found.forward.retrieve"
EXPECTED = "Expected: a file in UTF-8 (.md, .txt, .jsonl), or a folder of such files."
FILES = {"book.pdf": "%PDF", "pictures/a.png": "", "rows.jsonl": '{"txt": "x"}\n', "blank.md": "\n"}
MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "a path that is not there": (
        graph_of("nowhere"),
        f"{KEY}: there is no file 'nowhere'. {EXPECTED} Looked in: {{cwd}}.",
    ),
    "a home that nobody has": (
        graph_of("~nobody-lives-here/book.md"),
        f"{KEY}: '~nobody-lives-here/book.md': nobody has the home ~nobody-lives-here; write the "
        "whole path.",
    ),
    "a shipped document that is not there": (
        graph_of("sgdflow/../tools.py"),
        f"{KEY}: there is no file 'sgdflow/../tools.py'. {EXPECTED} Looked in: {{cwd}}.",
    ),
    "a file of another kind": (
        graph_of("book.pdf"),
        f"{KEY}: book.pdf: '.pdf' is no ending of a text. {EXPECTED}",
    ),
    "a folder without texts": (
        graph_of("pictures"),
        f"{KEY}: pictures holds no text. {EXPECTED} It holds: a.png.",
    ),
    "a file without text": (graph_of("blank.md"), f"{KEY}: blank.md holds no text. {EXPECTED}"),
    "a row without text": (
        graph_of("rows.jsonl"),
        "rows.jsonl, line 1: no column 'text'. Did you mean 'txt'? Columns: txt.",
    ),
    "nothing to look up": (
        graph_of("here.md", predecessors=[]),
        "graph.nodes.found.forward: has nothing to look up: name the query among the predecessors.",
    ),
    "parameters": (
        graph_of("here.md", parameters={"instruction": "Find it."}),
        "graph.nodes.found.forward: has no use for parameters (instruction): what is looked up is "
        "what the predecessors say. Let a node before it write the query. How many passages are "
        "found may be one: count: {value: 3, min: 1, max: 10, step: 1}.",
    ),
    "no passages": (
        graph_of("here.md", forward={"retrieve": "here.md", "count": 0}),
        "graph.nodes.found.forward.count: input should be greater than or equal to 1 (got 0).",
    ),
    "an unknown key": (
        graph_of("here.md", forward={"retrieve": "here.md", "cuont": 2}),
        "graph.nodes.found.forward.cuont: there is no such key. Did you mean 'count'?",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_told_before_any_call(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file, text in {**FILES, "here.md": "Text."}.items():
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(text)
    monkeypatch.chdir(tmp_path)
    conf, told = MISTAKES[name]
    with pytest.raises(ConfigError) as refused:
        build_graph(expand_graph(conf), PROMPTS)
    assert str(refused.value) == told.replace("{cwd}", str(Path.cwd()))


def test_a_missing_library_is_told_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieval, "available", lambda: False)
    with pytest.raises(ConfigError) as refused:
        build_graph(expand_graph(graph_of("sgdflow/parcels.md")), PROMPTS)
    assert str(refused.value) == (
        f"{KEY}: searching takes bm25s, which is not installed: pip install 'sgdflow[retrieval]'."
    )


def test_check_and_plan_count_the_longest_passages_and_the_report_shows_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.md").write_text(f"{'long ' * 1000}\n\nshort\n\n{'other ' * 1000}")
    raw = dict(compose(["tracking=none"]))
    conf = json.loads(json.dumps(graph_of("own.md")).replace('"question"', '"order"'))
    conf["nodes"]["answer"]["parameters"] = {"instruction": "Answer."}
    raw["graph"] = conf
    tokens, node = rehearsed(prepare(raw, PROMPTS, {})).largest["forward"]
    assert node == "answer"
    assert tokens > 2500
    assert shape_of(conf).nodes["found"].code


def exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "conf/graph").mkdir(parents=True)
    (tmp_path / "book").mkdir()
    (tmp_path / "book/a.md").write_text("The zone north costs 7.")
    (tmp_path / "conf/graph/own.yaml").write_text(yaml.safe_dump(graph_of("book")))
    return sgdflow.load("graph=own").export("away")


def test_an_exported_graph_brings_its_documents_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = exported(tmp_path, monkeypatch)
    (tmp_path / "book/a.md").unlink()
    assert (folder / "documents/found/a.md").read_text() == "The zone north costs 7."
    graph = yaml.safe_load((folder / "graph.yaml").read_text())
    assert graph["nodes"]["found"]["forward"]["retrieve"] == "documents/found"
    assert (folder / "requirements.txt").read_text().splitlines()[1].startswith("bm25s==")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    folder.rename(elsewhere / "g")
    monkeypatch.chdir(elsewhere)
    passed = sgdflow.load("g").run({"question": "north"})
    assert passed.values["found"] == [{"document": "a.md", "text": "The zone north costs 7."}]


def test_a_strangers_folder_reads_nothing_but_what_it_brings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = exported(tmp_path, monkeypatch)
    sgdflow.load("away")
    for path in ("book", "documents/../../book", str(tmp_path / "book"), "sgdflow/book"):
        graph = (folder / "graph.yaml").read_text()
        (folder / "graph.yaml").write_text(re.sub("retrieve: .+", f"retrieve: {path}", graph))
        with pytest.raises(ConfigError) as refused:
            sgdflow.load("away")
        assert f"- read {path} and send it to the models ({KEY})" in str(refused.value)


def test_a_run_is_not_gone_on_with_over_other_documents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: Start
) -> None:
    """Whether it has ended or not; with the documents as they were it goes on."""
    words = ["optimize", "tracking=none", "method.stop.steps=1", "hydra.run.dir=runs/first"]
    assert at(tmp_path, "init", "mine", "--from", "rag")[0] == 0
    home = tmp_path / "mine"
    assert at(home, *words)[0] == 0
    page = home / "data/handbook/care.md"
    before = page.read_text()
    page.write_text(before.replace("H7", "H8"))
    for more in ([], ["method.stop.steps=2"]):
        code, _, err = at(home, *words, *more)
        assert code == 1
        assert err.splitlines()[-1] == (
            f"{home}/runs/first holds a run that searched other documents: data/handbook "
            "(graph.nodes.passages.forward.retrieve) holds something else now. To go on with the "
            "run that is there, put the documents back as they were. For a run over those that are "
            "there now, choose another directory (hydra.run.dir)."
        )
    page.write_text(before)
    assert at(home, *words)[0] == 0
