"""Mistakes that Hydra, pydantic and Python tell in words of their own: each has a place and a remedy."""
# ruff: noqa: E501

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from sgdflow.config.absent_keys import lacking
from sgdflow.config.build import build_graph, expand_graph
from sgdflow.config.compose import compose
from sgdflow.config.paths import prompt_folders
from sgdflow.config.prepare import prepare, starting_parameters
from sgdflow.config.project import home
from sgdflow.config.retrieval import located
from sgdflow.data.images import data_url
from sgdflow.errors import ConfigError
from sgdflow.homes import at_home, expanded
from sgdflow.prompting.templates import Prompts
from sgdflow.runs.recorded import directory_of
from sgdflow.tracking import store_uri

NOBODY = "~nobody-lives-here"
HOME = f"nobody has the home {NOBODY}; write the whole path"
TABLE = ("graph=hints", "task=table", "task.path=t.csv", "task.target=a")
SPLITS = "task.splits={train: 2, validation: 0, test: 1}"
OBJECTIVES = "{right: {score: like_target}, kind: {score: {rubric: It is kind.}}}"

A_SCORE = "A score is a name (like_target), {rubric: TEXT}, {objectives: {NAME: {score: ...}}} or {_target_: MODULE.FUNCTION} (docs/scoring.md)."


@pytest.fixture(autouse=True)
def working(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    Path("t.csv").write_text("question,a\nWho?,1\nWhere?,2\nWhen?,3\n")
    (tmp_path / "conf" / "task").mkdir(parents=True)
    text = "defaults: [table]\nname: listed\npath: t.csv\ninputs: [question]\ntarget: a\n"
    (tmp_path / "conf" / "task" / "listed.yaml").write_text(text)
    return tmp_path


def told(*words: str) -> str:
    with pytest.raises(ConfigError) as refused:
        prepare(compose(words), Prompts(prompt_folders(Path.cwd())), {})
    return str(refused.value)


def test_a_mapping_takes_the_place_of_a_list_with_the_words_that_are_told() -> None:
    word = "task.inputs={question: question}"
    said = told("graph=hints", "task=listed", word)
    start = f"{word}: what is chosen has a list at task.inputs, and this is a mapping. To take its place: "
    assert said.startswith(start)
    words = shlex.split(said.removeprefix(start))
    found = compose(["graph=hints", "task=listed", *words])["task"]["inputs"]
    assert found == {"question": "question"}
    assert told("graph=hints", "graph.nodes=[a]", *TABLE[1:], "task.inputs=[question]") == (
        "graph.nodes=[a]: what is chosen has a mapping at graph.nodes, and this is a list. To take "
        "its place: '~graph.nodes' '+graph.nodes=[a]'"
    )


MISTAKES: Mapping[str, tuple[Sequence[str], str]] = {
    "a graph in words": (
        ["graph={name: g, inputs: [question], nodes: {b: {predecessors: [question]}}, output: b}"],
        "graph: takes the name of a choice. What it is to hold is written into {cwd}/conf/graph/NAME.yaml and chosen with graph=NAME; a value of what is chosen is set with graph.KEY=VALUE.",
    ),
    "a graph without a name": (
        ["~graph.name"],
        "graph.name: is required and missing. It is what records call the graph: name: tickets. A file of conf/graph that has inputs, nodes and output needs none.",
    ),
    "a mapping of inputs": (
        ["graph.inputs={question: Question}"],
        "graph.inputs={question: Question}: what is chosen has a list at graph.inputs, and this is a mapping. To take its place: '~graph.inputs' '+graph.inputs={question: Question}'",
    ),
    "the mapping of inputs that takes the place of the list": (
        ["~graph.inputs", "+graph.inputs={question: Question}"],
        "graph.inputs: input should be a list, such as [question] (got {'question': 'Question'}).",
    ),
    "keys that a search does not have": (
        [
            "+graph.nodes.found={predecessors: [question], forward: {retrieve: docs, prompt: a.jinja, role: forward}}"
        ],
        "graph.nodes.found.forward.prompt: there is no such key. There are: retrieve, embeddings, count.\n"
        "graph.nodes.found.forward.role: there is no such key.",
    ),
    "what a role sends": (
        ["+llm.models.forward.temperature=1", "+llm.models.forward.seeds=1"],
        "llm.models.forward.temperature: there is no such key. It is one of its parameters: forward: {parameters: {temperature: ...}}.\n"
        "llm.models.forward.seeds: there is no such key. Did you mean 'sees'?",
    ),
    "a constant of a score, misspelt": (
        ["task.score={_target_: sgdflow.library.scores.passes, fodler: tests}"],
        "task.score: sgdflow.library.scores.passes(output, target, fodler=...): got an unexpected keyword argument 'fodler'. "
        "Did you mean 'folder'? It takes: folder, command, file, seconds, megabytes.",
    ),
    "no update rule": (
        ["method.update=null"],
        "method.update: should be a mapping, such as {rule: rewrite} (got None). There are: rewrite, whole, search.",
    ),
    "the name of an update rule": (
        ["method.update=whole"],
        "method.update: should be a mapping, such as {rule: rewrite} (got 'whole'). There are: rewrite, whole, search.",
    ),
    "objectives as a text": (
        ["task.score={objectives: number}"],
        "task.score.objectives: input should be a mapping, such as "
        + OBJECTIVES
        + " (got 'number').",
    ),
    "an objective as a text": (
        ["task.score={objectives: {right: number}}"],
        "task.score.objectives.right: input should be a mapping, such as {score: number, weight: 1} (got 'number').",
    ),
    "an objective that is its own scorer": (
        ["task.score={objectives: {kind: {rubric: Be kind.}}}"],
        "task.score.objectives.kind.score: is required and missing. " + A_SCORE + "\n"
        "task.score.objectives.kind.rubric: there is no such key. It stands below score: kind: {score: {rubric: ...}}.",
    ),
    "a rubric that is misspelt": (
        ["task.score={objectives: {a: {score: {rubic: Be kind.}}}}"],
        "task.score.objectives.a.score._target_: is required and missing. " + A_SCORE,
    ),
    "no score": (
        ["task.score=null"],
        "task.score: input should be a valid string (got None). " + A_SCORE,
    ),
    "objectives within objectives": (
        ["task.score={objectives: {all: {score: {objectives: {a: {score: number}}}}}}"],
        "task.score.objectives.all.score: has objectives of its own, and these are weighed in one place: name each of them in task.score.objectives, with its weight (got {'objectives': {'a': {'score': 'number'}}}).",
    ),
    "a weight without end": (
        ["task.score={objectives: {a: {score: number, weight: inf}}}"],
        "task.score.objectives.a.weight: input should be a finite number (got inf).",
    ),
    "a bound without end": (
        ["task.score={objectives: {a: {score: number}, b: {score: {cost: [0, inf]}}}}"],
        "task.score.objectives.b.score.cost: should be two numbers from 0 on, such as [0.001, 0.01]: up to the first it scores 1, from the second on 0 (got [0, inf]).",
    ),
    "a scale without end": (
        ["task.score={rubric: Be kind., scale: [0, inf]}"],
        "task.score.scale: should be two numbers, the lower one first, such as [0, 1] or [1, 5] (got [0, inf]).",
    ),
    "a store in a home of nobody": (
        [f"llm.store.path='{NOBODY}/r.db'"],
        f"llm.store.path: {HOME} (got '{NOBODY}/r.db').",
    ),
    "records in a home of nobody": (
        [f"tracking.uri='sqlite:///{NOBODY}/m.db'"],
        f"tracking.uri: {HOME} (got 'sqlite:///{NOBODY}/m.db').",
    ),
    "parameters in a home of nobody": (
        [f"parameters='{NOBODY}/p.yaml'"],
        f"parameters: '{NOBODY}/p.yaml': {HOME}.",
    ),
    "tests in a home of nobody": (
        ["task.score={_target_: sgdflow.library.scores.passes, folder: '" + NOBODY + "/t'}"],
        f"task.score.folder: '{NOBODY}/t': {HOME}.",
    ),
}


def test_several_choices_have_a_key() -> None:
    assert lacking("llm.models", "llm.models=x", {}) == (
        "llm.models: this configuration has no such key. llm=anthropic, llm=ollama, llm=openai, "
        "llm=simulated, llm=vllm have it."
    )


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_told_with_its_place_and_what_to_write(case: str) -> None:
    words, message = MISTAKES[case]
    message = message.replace("{cwd}", str(Path.cwd()))
    graph = () if any(word.startswith("graph=") for word in words) else TABLE[:1]
    assert told(*graph, *TABLE[1:], "task.inputs=[question]", SPLITS, *words) == message


def test_every_path_whose_home_is_nobodys_is_told_where_it_was_named() -> None:
    path = f"{NOBODY}/x"
    with pytest.raises(ConfigError, match=f"^--project: '{path}': {HOME}\\.$"):
        home({}, path)
    with pytest.raises(ConfigError, match=f"^SGDFLOW_PROJECT: '{path}': {HOME}\\.$"):
        home({"SGDFLOW_PROJECT": path})
    with pytest.raises(ConfigError, match=f"^RUN: '{path}': {HOME}\\.$"), directory_of(path, []):
        pass
    with pytest.raises(ConfigError, match=f"^tracking\\.uri=sqlite:///{path}: '{path}': {HOME}"):
        store_uri(f"sqlite:///{path}")
    with pytest.raises(ConfigError, match=f"^KEY: '{path}': {HOME}\\.$"):
        located(path, "KEY")
    with pytest.raises(ValueError, match=f"which cannot be read: {HOME}$"):
        data_url(path, Path())
    assert expanded("~/x") == at_home("~/x", "KEY") == Path.home() / "x"


def test_a_scorer_is_told_what_it_may_take_and_how() -> None:
    Path("told_scorers.py").write_text(
        "def third(output, target, question): return 1\ndef second(output, question): return 1\n"
    )
    may = "A scorer may take: output, target, inputs, values."
    how = "'question' is an input: take inputs, and use inputs['question']."
    words = (*TABLE, "task.inputs=[question]", SPLITS)
    assert told(*words, "task.score._target_=told_scorers.third") == (
        "task.score: told_scorers.third(output, target): missing a required argument: 'question'. "
        f"{may} {how}"
    )
    assert told(*words, "task.score._target_=told_scorers.second") == (
        f"task.score: told_scorers.second: its second parameter is given the target. {may} {how}"
    )


@pytest.mark.parametrize("where", ["method.stop.budget", "llm.limits.budget"])
def test_a_bound_of_cost_that_bounds_nothing_is_said(where: str) -> None:
    def said(*words: str) -> list[str]:
        ready = prepare(compose([f"{where}.cost=1", *words]), Prompts(prompt_folders(Path())), {})
        return [one.text for one in ready.notices if one.unsure and one.text.startswith(where)]

    free = f"{where}.cost: calls of simulated/worlds cost nothing, so that this bounds nothing. "
    assert said() == [f"{free}Bound their number: {where}.calls=1000."]
    assert said("+llm.prices={simulated/worlds: {prompt: 1, completion: 1}}") == []


def test_a_list_in_a_file_of_parameters_is_a_text_with_an_item_a_line() -> None:
    graph = build_graph(
        expand_graph(compose(["graph=single"])["graph"]), Prompts(prompt_folders(Path()))
    )
    Path("p.yaml").write_text("answer.instruction: [Add., 'Then: say it.']\n")
    assert starting_parameters(graph, "p.yaml") == {"answer.instruction": "Add.\nThen: say it."}
