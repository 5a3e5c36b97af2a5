"""Readers of the public benchmarks, from local files or from the Hugging Face hub."""

from __future__ import annotations

import re
from collections.abc import Iterable

from sgdflow.data.delimited import Layout, delimited
from sgdflow.data.examples import Example, Pools
from sgdflow.data.files import existing, few, member
from sgdflow.data.hub import hub_rows
from sgdflow.data.rows import Row, json_lines, load_json, objects
from sgdflow.errors import DataError, did_you_mean, listed

BBH_TASKS = (
    "boolean_expressions",
    "causal_judgement",
    "date_understanding",
    "disambiguation_qa",
    "dyck_languages",
    "formal_fallacies",
    "geometric_shapes",
    "hyperbaton",
    "logical_deduction_five_objects",
    "logical_deduction_seven_objects",
    "logical_deduction_three_objects",
    "movie_recommendation",
    "multistep_arithmetic_two",
    "navigate",
    "object_counting",
    "penguins_in_a_table",
    "reasoning_about_colored_objects",
    "ruin_names",
    "salient_translation_error_detection",
    "snarks",
    "sports_understanding",
    "temporal_sequences",
    "tracking_shuffled_objects_five_objects",
    "tracking_shuffled_objects_seven_objects",
    "tracking_shuffled_objects_three_objects",
    "web_of_lies",
    "word_sorting",
)
LIAR_COLUMNS = (
    "id",
    "label",
    "statement",
    "subject",
    "speaker",
    "job_title",
    "state_info",
    "party_affiliation",
    "barely_true_counts",
    "false_counts",
    "half_true_counts",
    "mostly_true_counts",
    "pants_on_fire_counts",
    "context",
)
LIAR_INPUTS = {
    "statement": "statement",
    "party": "party_affiliation",
    "job_title": "job_title",
    "source": "context",
    "state": "state_info",
}
LIAR_TARGETS = {"false": "Yes", "true": "No"}
LIAR_OTHER_LABELS = ("half-true", "mostly-true", "barely-true", "pants-fire")


def gsm8k(path: str | None = None) -> Pools:
    """Read grade-school maths problems; the target is the final number, without commas."""
    return Pools(train=_gsm8k_part(path, "train"), test=_gsm8k_part(path, "test"))


def bbh(name: str, path: str | None = None) -> Pools:
    """Read one BIG-Bench Hard task, a single pool; the target stays as it stands."""
    rows: Iterable[Row]
    if path is not None:
        rows = _bbh_file(name, path)
    elif name in BBH_TASKS:
        rows = hub_rows("lukaemon/bbh", name, "test")
    else:
        raise DataError(_unknown_task(name))
    return Pools(
        shared=tuple(
            Example(
                f"{name}/{index}", {"question": row.text("input")}, row.text("target"), row.where
            )
            for index, row in enumerate(rows)
        )
    )


def liar(path: str | None = None) -> Pools:
    """Read political statements; the target says whether the statement is a lie.

    Kept are the labels false ("Yes") and true ("No"), and of those the rows in which each
    of the inputs has letters, other than the word "none", before its first colon.
    """
    return Pools(
        train=_liar_part(path, "train", "train.tsv"),
        validation=_liar_part(path, "validation", "valid.tsv"),
        test=_liar_part(path, "test", "test.tsv"),
    )


def _gsm8k_part(path: str | None, split: str) -> tuple[Example, ...]:
    rows: Iterable[Row]
    if path is None:
        rows = hub_rows("openai/gsm8k", "main", split)
    else:
        expected = "a GSM8K folder with train.jsonl and test.jsonl"
        folder = existing(path, "task.path", expected, folder=True)
        rows = json_lines(member(folder, f"{split}.jsonl", "task.path"))
    return tuple(
        Example(
            f"gsm8k/{split}/{index}",
            {"question": row.text("question")},
            _final_number(row),
            row.where,
        )
        for index, row in enumerate(rows)
    )


def _final_number(row: Row) -> str:
    _, mark, number = row.text("answer").rpartition("#### ")
    if not mark or not number.strip():
        raise DataError(f"{row.where}: 'answer' has no number after '#### '.")
    return number.strip().replace(",", "")


def _bbh_file(name: str, path: str) -> Iterable[Row]:
    expected = "a BIG-Bench Hard folder with one <task>.json a task"
    folder = existing(path, "task.path", expected, folder=True)
    file = folder / f"{name}.json"
    if not file.is_file():
        held = few(sorted(entry.stem for entry in folder.glob("*.json")))
        problem = (
            f"task.path: folder '{folder}' has no file '{file.name}'."
            if name in BBH_TASKS
            else _unknown_task(name)
        )
        raise DataError(f"{problem} Tasks in '{folder}': {held}.")
    content = load_json(file)
    if not isinstance(content, dict) or "examples" not in content:
        raise DataError(f"{file}: expected a JSON object with a list 'examples'.")
    return objects(file, content["examples"])


def _unknown_task(name: str) -> str:
    return (
        f"task.name: BIG-Bench Hard has no task '{name}'.{did_you_mean(name, BBH_TASKS)} "
        f"Known: {listed(BBH_TASKS)}."
    )


def _liar_part(path: str | None, split: str, file: str) -> tuple[Example, ...]:
    rows: Iterable[Row]
    if path is None:
        rows = hub_rows("liar", None, split)
    else:
        expected = "a LIAR folder with train.tsv, valid.tsv and test.tsv"
        folder = existing(path, "task.path", expected, folder=True)
        source = member(folder, file, "task.path")
        # Statements hold unbalanced quotes, at which a reader that undoes quotes glues rows.
        rows = delimited(source, Layout("\t", quoting=False, columns=LIAR_COLUMNS))
    return tuple(example for row in rows if (example := _liar_example(row)) is not None)


def _liar_example(row: Row) -> Example | None:
    label = row.text("label")
    if label in LIAR_OTHER_LABELS:
        return None
    if label not in LIAR_TARGETS:
        known = listed((*LIAR_TARGETS, *LIAR_OTHER_LABELS))
        raise DataError(f"{row.where}: unknown label '{label}'. Known: {known}.")
    inputs = {name: row.text(column).strip() for name, column in LIAR_INPUTS.items()}
    if not all(_says_something(value) for value in inputs.values()):
        return None
    record = "\n".join(
        f"{name.replace('_', ' ').capitalize()}: {value}" for name, value in inputs.items()
    )
    key = row.text("id").removesuffix(".json")
    return Example(f"liar/{key}", {**inputs, "record": record}, LIAR_TARGETS[label], row.where)


def _says_something(value: str) -> bool:
    return re.sub(r"[\W\d_]", "", value.split(":")[0]) not in ("", "none")
