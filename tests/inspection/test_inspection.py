"""`sgdflow check` finds what would go wrong; what `sgdflow init` says."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Start

from sgdflow.config.paths import starters
from sgdflow.data import Example, Splits
from sgdflow.inspection import data_findings, prompt_findings
from sgdflow.inspection.prompts import Rehearsed
from sgdflow.llm.models import ModelSpec
from sgdflow.llm.providers import LitellmBackend

NAMES = sorted(path.name for path in starters().iterdir())


def test_init_says_what_there_is(tmp_path: Path, at: Start) -> None:
    told = "--from: there is no starter 'triag'. Did you mean 'triage'?"
    told += f" There are: {', '.join(NAMES)}.\n"
    assert at(tmp_path, "init", "mine", "--from", "triag") == (1, "", told)
    (tmp_path / "file").write_text("")
    assert "file is no folder" in at(tmp_path, "init", "file")[2]
    assert not (tmp_path / "mine").exists()


@pytest.mark.parametrize("there", [True, False])
def test_init_says_what_has_to_be_installed(
    there: bool, tmp_path: Path, at: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sgdflow.cli.init.available", lambda: there)
    _, out, _ = at(tmp_path, "init", "mine", "--from", "rag")
    commands = ["cd mine", "sgdflow check", "sgdflow optimize hydra.run.dir=runs/first"]
    needed = [] if there else ["pip install 'sgdflow[retrieval]'"]
    assert [line.strip() for line in out.splitlines() if line.startswith("  ")] == [
        *needed,
        *commands,
    ]
    assert ("runs at once" in out) is there


def _rows(home: Path) -> list[dict[str, str]]:
    lines = (home / "data/tickets.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def _write(home: Path, rows: list[dict[str, str]]) -> None:
    (home / "data/tickets.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def _leak(home: Path) -> None:
    rows = _rows(home)
    _write(home, [*rows, *rows])


def _gone(home: Path) -> None:
    _write(home, [{"urgnecy": row.pop("urgency"), **row} for row in _rows(home)])


def _empty(home: Path) -> None:
    file = home / "data/tickets.jsonl"
    first, *others = file.read_text().splitlines()
    emptied = json.dumps({**json.loads(first), "ticket": None})
    file.write_text("\n".join([emptied, *others]) + "\n")


def _prompt(text: str) -> Callable[[Path], None]:
    def change(home: Path) -> None:
        (home / "prompts/forward/clerk.jinja").write_text(text)

    return change


def _spare(home: Path) -> None:
    (home / "prompts/forward/old.jinja").write_text("{{ node.name }}")


def _films(home: Path) -> None:
    """Put a subject into the data that no simulated model knows."""
    _write(home, [{**row, "ticket": f"Film {n} moved me."} for n, row in enumerate(_rows(home))])
    (home / "conf/graph/helpdesk.yaml").write_text(
        "name: films\ninputs: [ticket]\noutput: mood\nnodes:\n"
        "  mood: {predecessors: [ticket], parameters: {instruction: Say the mood.}}\n"
    )


def _short_of_calls(home: Path) -> None:
    text = (home / "conf/config.yaml").read_text()
    (home / "conf/config.yaml").write_text(
        text.replace("stop: {steps: 8}", "stop: {steps: 8, budget: {calls: 10}}")
    )


def _told_the_label(home: Path) -> None:
    """Hand the label to the graph, as one of its inputs."""
    task, graph = home / "conf/task/helpdesk.yaml", home / "conf/graph/helpdesk.yaml"
    text = task.read_text()
    task.write_text(text.replace("[ticket]", "{ticket: ticket, soon: urgency}"))
    text = graph.read_text().replace("inputs: [ticket]", "inputs: [ticket, soon]")
    text = text.replace("[ticket, words.times]", "[ticket, words.times, soon]")
    graph.write_text(text)


def _marked(home: Path) -> None:
    graph = home / "conf/graph/helpdesk.yaml"
    graph.write_text(graph.read_text().replace("Draft the reply.", '"Answer {{ ticket }}."'))


MISTAKES: dict[str, tuple[Callable[[Path], None], int, str]] = {
    "examples in two splits": (
        _leak,
        1,
        "of validation also in train, so that what is learned from is what",
    ),
    "no such column": (_gone, 1, "'urgency'"),
    "a missing value": (_empty, 1, "data/tickets.jsonl, line 1: column 'ticket'"),
    "an unknown variable": (
        _prompt("{{ ticket }} {{ tikcet }}"),
        1,
        "prompts/forward/clerk.jinja, line 1: uses 'tikcet'",
    ),
    "a variable that is never shown": (
        _prompt("{{ parameters }}"),
        0,
        "Look at this: prompts/forward/clerk.jinja never shows ticket, words.topics, of graph",
    ),
    "a template that nothing uses": (
        _spare,
        0,
        "Look at this: prompts/forward/old.jinja: nothing that is chosen uses it.",
    ),
    "a label that the graph is given": (
        _told_the_label,
        0,
        "Look at this: task.inputs: the input 'soon' of the graph is column 'urgency', which is",
    ),
    "a variable within a text": (
        _marked,
        0,
        "Look at this: parameter draft.instruction: '{{ ticket }}' stays as it is in a text",
    ),
    "a subject that simulated models do not know": (
        _films,
        0,
        "Look at this: llm: the simulated models know nothing of these examples: they guess",
    ),
    "a budget that is less than a step": (
        _short_of_calls,
        0,
        "Look at this: method.stop.budget.calls: 10 is less than the ",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_message(mistake: str, tmp_path: Path, at: Start) -> None:
    change, expected, told = MISTAKES[mistake]
    assert at(tmp_path, "init", "mine")[0] == 0
    change(tmp_path / "mine")
    code, out, err = at(tmp_path / "mine", "check")
    assert (code, told in out + err) == (expected, True), out + err
    assert "Traceback" not in err
    assert {path.name for path in (tmp_path / "mine").iterdir()} <= {
        ".gitignore", "README.md", "__pycache__", "conf", "data", "experiments", "prompts",
        "tests", "tools.py",
    }  # fmt: skip


def test_own_templates_in_other_words_are_used_where_they_are_chosen(
    tmp_path: Path, at: Start
) -> None:
    """Those in short words hide the others of their name, which nothing uses then."""
    assert at(tmp_path, "init", "mine")[0] == 0
    prompts = tmp_path / "mine/prompts"
    for name in ("optimizer/rewrite.jinja", "short/optimizer/rewrite.jinja"):
        (prompts / name).parent.mkdir(parents=True, exist_ok=True)
        (prompts / name).write_text("{% extends 'sgdflow/optimizer/rewrite.jinja' %}")
    (prompts / "score").mkdir()
    (prompts / "score/mine.jinja").write_text("{% extends 'sgdflow/score/judge.jinja' %}")

    def unused(*words: str) -> list[str]:
        code, out, err = at(tmp_path / "mine", "check", *words)
        assert code == 0, out + err
        told = (line.partition("Look at this: prompts/")[2] for line in out.splitlines())
        return [line.partition(": nothing that")[0] for line in told if "uses it" in line]

    assert unused() == ["score/mine.jinja", "short/optimizer/rewrite.jinja"]
    task = next((tmp_path / "mine/conf/task").iterdir())
    rubric = "score: {rubric: It is right., prompt: score/mine.jinja}"
    task.write_text(re.sub(r"(?m)^score:.*$", rubric, task.read_text()))
    assert unused("method.words=short") == ["optimizer/rewrite.jinja"]


def test_what_stands_twice_is_told_with_its_places() -> None:
    def one(id_: str, question: str, target: str = "1") -> Example:
        return Example(id_, {"question": question, "more": id_}, target, f"rows, line {id_}")

    splits = Splits(
        (one("1", "a"), one("2", "b"), one("3", "a", "2")), (one("4", "b"),), (one("5", "c"),)
    )
    assert [(found.text, found.wrong) for found in data_findings(splits, ["question"])] == [
        (
            "task.data: 1 example of validation also in train, so that what is learned from is "
            "what is scored: rows, line 2 and rows, line 4. Leave one of each pair out.",
            True,
        ),
        (
            "task.data: 1 example of train more than once, which counts them more: rows, line 1 "
            "and rows, line 3.",
            False,
        ),
        (
            "task.data: 1 question with two different answers, one of which is always scored as "
            "wrong: rows, line 1 and rows, line 3. Decide which is right.",
            False,
        ),
    ]
    assert list(data_findings(splits, ["question", "more"])) == []
    train = tuple(replace(one, drawn=True) for one in splits.train)
    validation = tuple(replace(one, drawn=True) for one in splits.validation)
    drawn = Splits(train, validation, splits.test)
    (left,) = data_findings(drawn, ["question"])
    assert left.text.startswith("task.data: 1 question with two different answers")


def test_what_is_shipped_is_right(tmp_path: Path, at: Start) -> None:
    """Orders are drawn at random, so that some come up in two splits."""
    code, out, err = at(tmp_path, "check")
    assert (code, err) == (0, "")
    assert "test 140; drawn at random, so that the same may come up in several of them" in out
    assert out.splitlines()[-1] == "Nothing is wrong."


def test_a_prompt_that_no_model_can_read_is_told() -> None:
    found = Rehearsed({"forward": (9000, "desk"), "backward": (9000, "desk")}, ())
    windows = {"forward": 8192, "backward": None}
    assert [one.text for one in prompt_findings(found, windows)] == [
        "llm.models.forward: a prompt about desk has about 9,000 tokens, more than the 8,192 that "
        "its model reads. Choose a model that reads more, or shorten what it is shown."
    ]


def test_how_much_a_model_reads_is_known_where_litellm_knows_it() -> None:
    backend = LitellmBackend()
    assert backend.window_of(ModelSpec("openai/gpt-4o-mini")) == 128_000
    assert backend.window_of(ModelSpec("openai/nobody-knows")) is None


def test_what_cannot_be_read_hides_nothing_else(tmp_path: Path, at: Start) -> None:
    assert at(tmp_path, "init", "mine")[0] == 0
    home = tmp_path / "mine"
    words = ["check", "method.stop.steps=-1", "llm.models.forward=3", "task.splits.train=90"]
    also = [
        "method.stop.steps: input should be greater than or equal to 0 (got -1).",
        "llm.models.forward: input should be a valid string (got 3).",
        "task.splits.train asks for 90 examples",
    ]
    graph = home / "conf/graph/helpdesk.yaml"
    text = graph.read_text()
    broken = text.replace("inputs: [ticket]", "inputs: [ticket")
    unread = f"{graph}, line 5, column 11: expected ',' or ']'"
    wrong = text.replace("output: judge", "outputs: judge")
    for now, told in ((broken, unread), (wrong, "graph.outputs: there is no such key")):
        graph.write_text(now)
        code, out, err = at(home, *words)
        assert (code, out) == (1, "")
        assert [line for line in (told, *also) if line not in err] == [], err
        assert "Traceback" not in err
        assert sum("graph" in line for line in err.splitlines()) <= 2, err
    # Several such files are all told.
    graph.write_text(broken)
    task = home / "conf/task/helpdesk.yaml"
    task.write_text(task.read_text().replace("inputs: [ticket]", "inputs: [ticket"))
    _, _, err = at(home, *words[:2])
    assert [unread in err, f"{task}, line 7" in err, also[0] in err] == [True] * 3, err


def test_what_is_shipped_is_marked(tmp_path: Path, at: Start) -> None:
    """A bare check would pass for one of the project that nothing of it is in."""
    own = " (sgdflow's own)"
    (tmp_path / "empty").mkdir()
    lines = at(tmp_path / "empty", "check")[1].splitlines()
    assert lines[0].startswith(f"graph tariff{own}: ")
    assert lines[1].startswith(f"task tariff{own}: ")
    assert lines[2].startswith(f"prompts/forward/node.jinja{own} (weight, ")
    at(tmp_path, "init", "mine", "--from", "triage")
    assert own not in at(tmp_path / "mine", "check")[1]
