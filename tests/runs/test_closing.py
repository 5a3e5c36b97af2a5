"""What a run says of its answers, its gate and whose texts it returns, wherever it is said."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sgdflow.cli.show import show
from sgdflow.config.compose import compose
from sgdflow.config.paths import prompt_folders
from sgdflow.config.prepare import prepare
from sgdflow.llm import Message
from sgdflow.llm.scripted import ScriptedLLM
from sgdflow.prompting.templates import Prompts
from sgdflow.records import RunFolder
from sgdflow.runs.closing import candidate_words, changed_words, closing_words
from sgdflow.runs.run import optimise
from sgdflow.tracking import NullTracker
from sgdflow.tracking.naming import step_metrics

COUNT = 20
WRITTEN = ("Say no.", "Say yes to the first two.", "Get ten right.")


@dataclass
class Guesser:
    """Of 20 questions it gets 8 right, in ever other words; what it is told may change that."""

    written: Sequence[str] = WRITTEN
    prompts: list[str] = field(default_factory=list)

    def __call__(self, role: str, node: str, messages: Sequence[Message]) -> str:
        prompt = messages[-1].content
        if role == "optimizer":
            self.prompts.append(prompt)
            return f"<improved>{self.written[len(self.prompts) - 1]}</improved>"
        number = int(re.findall(r"Is (\d+) even", prompt)[-1])
        return f"I looked at {number}. My answer: {self._said(number, prompt)}."

    def _said(self, number: int, prompt: str) -> str:
        right = ("no", "yes")[number % 2 == 0]
        wrong = ("yes", "no")[number % 2 == 0]
        if "Say no." in prompt:
            return "no"
        if "Say yes to the first two." in prompt:
            return "yes" if number < 2 else "no"
        return right if number < (10 if "Get ten right." in prompt else 8) else wrong


def run(
    folder: Path,
    guesser: Guesser,
    *words: str,
    validation: Sequence[int] = (),
    tracker: NullTracker | None = None,
) -> Mapping[str, Any]:
    paths = []
    for split, numbers in {"train": range(20), "validation": validation, "test": [0, 1]}.items():
        lines = (
            {"question": f"Is {i} even? Yes or no?", "answer": ("No", "Yes")[i % 2 == 0]}
            for i in numbers
        )
        if text := "".join(f"{json.dumps(line)}\n" for line in lines):
            (folder / f"{split}.jsonl").write_text(text)
            paths.append(f"{split}: {folder / split}.jsonl")
    raw = compose(
        [
            "graph=single",
            "tracking=none",
            "task=table",
            f"task.path={{{', '.join(paths)}}}",
            "task.inputs=[question]",
            "task.target=answer",
            f"task.splits={{train: 20, validation: {len(validation)}, test: 2}}",
            "graph.forward.reply.format=text",
            "method.backward=null",
            "method.update.checks=false",
            "method.stop.steps=2",
            "method.lazy=false",
            *([] if any("confirm" in word for word in words) else ["method.confirm=null"]),
            *words,
        ]
    )
    ready = prepare(raw, Prompts(prompt_folders(folder)), {})
    place = RunFolder(folder / "run")
    tracker = tracker or NullTracker()
    return asyncio.run(optimise(ready, raw, ScriptedLLM(guesser), tracker, place))


def steps(folder: Path) -> list[dict[str, Any]]:
    written = (folder / "run" / "steps.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in written.splitlines()]


def section(prompt: str, heading: str) -> str:
    return prompt.split(f"# {heading}\n")[1].split("\n# ")[0].strip()


FIRST = (
    "better: 0.4 -> 0.5 on 20 examples (6 up, 4 down); "
    '20 of 20 answers are "no" (only 10 should be)'
)


def test_the_result_is_said_before_texts_and_model_are_recorded(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Which takes seconds, for which nobody should wait."""
    caplog.set_level("INFO", "sgdflow")
    heard = []

    class Late(NullTracker):
        def answered(self, shown: object) -> None:
            heard.append(caplog.text)

        def finished(self, result: object, folder: Path) -> None:
            heard.append(caplog.text)

    record = run(tmp_path, Guesser(), tracker=Late())
    assert len(heard) == 2
    assert all(closing_words(record) in text for text in heard)


def test_answers_that_became_constant_are_said_wherever_the_gate_is_heard(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level("INFO", "sgdflow")
    guesser = Guesser()
    record = run(tmp_path, guesser)
    first, second = steps(tmp_path)
    assert (first["accepted"], first["reason"]) == (True, FIRST)
    assert first["constant"] == '20 of 20 answers are "no" (only 10 should be)'
    assert (first["gate"]["up"], first["gate"]["down"]) == (6, 4)
    assert (second["accepted"], second["gate"]["up"], second["gate"]["down"]) == (False, 1, 1)
    metrics = step_metrics(first)
    assert (metrics["step/examples_up"], metrics["step/examples_down"]) == (6, 4)
    warnings = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    same = "nearly all answers are the same whatever is asked: 20 of 20 answers are"
    assert [w for w in warnings if same in w] == [f'step 1: {same} "no" (only 10 should be)']
    assert f"step 1: accepted, {FIRST}" in caplog.text
    returned = (
        "the texts of step 1: 0.5 on 20 training examples, the best of those that were accepted"
    )
    assert record["returned"]["step"] == 1
    for line in (f"\n  returned    {returned}\n", f'\n  returned    {same} "no" (only 10'):
        assert line in closing_words(record)
    report = (tmp_path / "run" / "report.html").read_text()
    assert f"Returned: {returned}." in report
    assert f'class="warning">Warning: {same} "no" (only 10 should be).</p>' in report
    assert "(6 up, 4 down)" in report
    show([str(tmp_path / "run")])
    assert f"  returned    {returned}\n" in capsys.readouterr().out


MARK = "* decided what was kept: expect less of it elsewhere"


def test_scores_that_were_selected_on_are_marked_wherever_they_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level("INFO", "sgdflow")
    record = run(tmp_path, Guesser())
    assert record["selected_on"] == ["train"]
    show([str(tmp_path / "run")])
    for said in (caplog.text, capsys.readouterr().out):
        rows = [line for line in said.splitlines() if re.match(r"  (train|test) ", line)]
        assert [row.endswith(" *") for row in rows] == [True, False]
        assert f"\n  {MARK}\n" in said
    report = (tmp_path / "run" / "report.html").read_text()
    assert '<p class="label">train *</p>' in report
    assert '<p class="label">test</p>' in report
    assert f">{MARK}.</p>" in report


def test_a_wide_search_ends_with_its_tree_and_counts_all_that_was_accepted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level("INFO", "sgdflow")
    better = ("Get ten right.", "Get ten right. Twice.", "Say no.", "Say no. Twice.")
    wide = ("method.proposals.each=2", "method.pool.keep=4", "method.sample.order=random")
    record = run(tmp_path, Guesser(better), *wide)
    assert record["accepted"] == 2
    assert len(steps(tmp_path)) == 2
    show([str(tmp_path / "run")])
    shown = capsys.readouterr().out
    assert "2 steps, 2 accepted. " in shown
    for said in (shown, caplog.text):
        for text in ("0 the start", "1 0.500 on 20 training examples (0.500 on 20 at the gate), "):
            assert text in said
    assert "  candidates  0 the start" in caplog.text


def test_a_long_tree_is_cut_at_the_end() -> None:
    def made(number: int) -> dict[str, Any]:
        place = {"from": [0], "candidate": number, "why": "joint", "proposal": {"a": str(number)}}
        return {"step": number, **place, "others": [], "pool": [0, number]}

    words = [*candidate_words([made(number) for number in range(1, 26)], {"a": "0"}, {"a": "25"})]
    assert len(words) == 21
    assert words[0] == "  candidates  0 the start"
    assert words[-1] == f"{'':14}and 6 more: sgdflow show RUN"
    alone = [{**made(1), "pool": [1]}]
    assert [*candidate_words(alone, {"a": "0"}, {"a": "1"})] == []  # one at a time is no tree


def test_a_writer_sees_what_was_read_and_what_became_of_its_tries(tmp_path: Path) -> None:
    """Outputs all differ; what was read of them does not."""
    guesser = Guesser()
    run(tmp_path, guesser, "method.stop.steps=3")
    first, second, third = guesser.prompts
    how = "How well the system does"
    assert section(first, how) == (
        'It scores 0.4 on 20 queries. Its answers: "yes" 10, "no" 10; expected: "yes" 10, "no" 10.'
    )
    assert "What was tried before" not in first
    assert section(second, how) == (
        'It scores 0.5 on 20 queries. Its answers: "no" 20; expected: "yes" 10, "no" 10. '
        "Nearly all answers are the same whatever is asked: "
        '20 of 20 answers are "no" (only 10 should be).'
    )
    tried = "What was tried before"
    accepted = (
        f"<tried>\n(the text as it stands)\n</tried>\n<verdict>\nAccepted, {FIRST}.\n</verdict>"
    )
    assert section(second, tried) == accepted
    made = [(1, "yes", "worse with it, or no better")]
    made += [(4, "no", "worse with it, or no better"), (0, "yes", "better with it")]
    assert section(third, tried) == (
        f"{accepted}\n<tried>\nSay yes to the first two.\n</tried>\n"
        f"<verdict>\nTurned down, {steps(tmp_path)[1]['reason']}.\n</verdict>\n"
    ) + "\n".join(
        f"What it made of a query that was answered {how}:\n"
        f'<given name="question">\nIs {number} even? Yes or no?\n</given>\n'
        f'<wrote node="answer">\nI looked at {number}. My answer: {said}.\n</wrote>'
        for number, said, how in made
    )


@pytest.mark.parametrize(
    ("words", "validation", "step", "why"),
    [
        ((), (), 1, "0.5 on 20 training examples, the best of those that were accepted"),
        (
            ("method.gate.rule=always",),
            range(2, 12, 2),
            0,
            "0.6 on 5 validation examples, no accepted proposal did as well",
        ),
        (("method.batch=19", "method.gate.rule=always"), (), 2, "the last that the gate accepted"),
        (("method.gate.tolerance=0.9",), (), 0, "no proposal was accepted"),
        (
            ("method.confirm={level: 0.05}",),
            range(5),
            0,
            "those of step 1 were not confirmed",
        ),
    ],
)
def test_the_end_names_the_step_whose_texts_are_returned(
    tmp_path: Path, words: Sequence[str], validation: Sequence[int], step: int, why: str
) -> None:
    record = run(tmp_path, Guesser(), *words, validation=validation)
    assert record["returned"] == {"step": step, "why": why}
    shown = f"the texts of step {step}" if step else "the texts that it began with"
    assert f"\n  returned    {shown}: {why}\n" in closing_words(record)
    written = (tmp_path / "run" / "parameters.yaml").read_text()
    text = WRITTEN[step - 1] if step else "Solve the problem."
    assert text in written
    learned = "no proposal was accepted" not in why
    assert ("  models      simulated: they know the worlds" in closing_words(record)) != learned
    kept = tmp_path / "run" / "unconfirmed.yaml"
    assert kept.is_file() == ("confirmed" in why)
    if kept.is_file():
        assert WRITTEN[0] in kept.read_text()
        assert "parameters=RUN/unconfirmed.yaml scores them on more" in closing_words(record)


def test_a_run_that_goes_on_marks_the_steps_that_were_told_before(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "sgdflow")

    def told(*written: str) -> list[str]:
        caplog.clear()
        run(tmp_path, Guesser(written), "method.stop.steps=2")
        said = [record.getMessage() for record in caplog.records]
        return [line.partition(",")[0] for line in said if line.startswith(("step", "An earlier"))]

    wrong = "step 1: nearly all answers are the same whatever is asked: 20 of 20 answers are"
    assert [line for line in told(*WRITTEN) if not line.startswith(wrong)] == [
        "step 1: accepted",
        "step 2: rejected",
    ]
    assert told(*WRITTEN) == [
        "An earlier start had taken 2 steps: what comes out the same again is marked (known from "
        "before)",
        "step 1 (known from before): accepted",
        "step 2 (known from before): rejected",
    ]
    # A step that comes out otherwise is new.
    assert told(WRITTEN[0], "Get ten right.")[1:] == [
        "step 1 (known from before): accepted",
        "step 2: rejected",
    ]


def test_what_became_of_the_texts_is_told_word_by_word() -> None:
    long = " ".join(f"word{i}" for i in range(300))
    before = {"a": "Add the numbers.", "b": "Same.", "c": long, "n": 0, "new": None}
    after = {"a": "Add all the figures.\nThen stop.", "b": "Same.", "c": f"{long} end", "n": 4}
    told = changed_words(before, after).splitlines()
    assert told[:3] == [
        "  changed     a",
        "              Add {+all+} the [-numbers.-] {+figures.",
        "              Then stop.+}",
    ]
    assert told[3] == "  changed     c"
    assert told[4].startswith("              word0 word1")
    assert re.fullmatch(r" {14}\[\.\.\. \d,?\d+ characters left out \.\.\.\]", told[5])
    assert told[6].endswith("word299 {+end+}")
    assert sum(map(len, told[4:7])) < 240
    assert told[7:] == ["  changed     n", "              [-0-]{+4+}"]
    assert changed_words(before, {"b": "Same."}) == (
        "  changed     nothing: the texts are those of the start"
    )
