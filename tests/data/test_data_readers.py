"""The benchmark readers on made files and on a made hub."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from sgdflow.data import Example, Pools, bbh, gsm8k, liar
from sgdflow.data.readers import BBH_TASKS, LIAR_COLUMNS
from sgdflow.errors import DataError


def error(function: Any, *args: Any, **kwargs: Any) -> str:
    with pytest.raises(DataError) as caught:
        function(*args, **kwargs)
    return str(caught.value)


def liar_row(id: str, label: str, **changed: str) -> dict[str, str]:
    row = dict.fromkeys(LIAR_COLUMNS, "0") | {
        "id": id,
        "label": label,
        "statement": 'The "best year: ever',
        "job_title": " Senator ",
        "state_info": "Ohio",
        "party_affiliation": "None",
        "context": "a speech",
    }
    return row | changed


LIAR_ROWS = [
    liar_row("1.json", "false"),
    liar_row("2.json", "true"),
    liar_row("3.json", "half-true"),
    liar_row("4.json", "true", party_affiliation="none"),
    liar_row("5.json", "true", context=" 2010-08: "),
    liar_row("6.json", "false", job_title=""),
    liar_row("7.json", "false", statement="none: at all"),
]
LIAR_EXPECTED = {
    "statement": 'The "best year: ever',
    "party": "None",
    "job_title": "Senator",
    "source": "a speech",
    "state": "Ohio",
    "record": 'Statement: The "best year: ever\nParty: None\nJob title: Senator\n'
    "Source: a speech\nState: Ohio",
}


def test_liar_keeps_true_and_false_with_a_full_record(tmp_path: Path) -> None:
    for number, name in enumerate(("train", "valid", "test")):
        rows = [{**row, "id": f"{number}{row['id']}"} for row in LIAR_ROWS]
        text = "".join("\t".join(row.values()) + "\n" for row in rows)
        (tmp_path / f"{name}.tsv").write_text(text)
    assert liar(str(tmp_path)) == Pools(
        **{
            part: (
                Example(f"liar/{number}1", LIAR_EXPECTED, "Yes"),
                Example(f"liar/{number}2", LIAR_EXPECTED, "No"),
            )
            for number, part in enumerate(("train", "validation", "test"))
        }
    )


def test_liar_names_broken_rows(tmp_path: Path) -> None:
    file = tmp_path / "train.tsv"
    file.write_text("\t".join(liar_row("1.json", "False").values()) + "\n")
    assert error(liar, str(tmp_path)) == (
        f"{file}, line 1: unknown label 'False'. "
        "Known: false, true, half-true, mostly-true, barely-true, pants-fire."
    )
    file.write_text("1.json\tfalse\n")
    assert error(liar, str(tmp_path)) == (
        f"{file}, line 1: 2 fields, expected 14 ({', '.join(LIAR_COLUMNS)})."
    )


def test_gsm8k_target_is_the_number_without_commas(tmp_path: Path) -> None:
    for name in ("train", "test"):
        row = {"question": f"{name}?", "answer": "Think: <<540*2=1080>>1,080.\n#### -1,080"}
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(row) + "\n")
    assert gsm8k(str(tmp_path)) == Pools(
        train=(Example("gsm8k/train/0", {"question": "train?"}, "-1080"),),
        test=(Example("gsm8k/test/0", {"question": "test?"}, "-1080"),),
    )


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"question": "q", "answer": "12"}, "'answer' has no number after '#### '."),
        ({"question": "q", "answer": 12}, "column 'answer' holds 12, expected text."),
        (
            {"question": "q", "anwser": "#### 1"},
            "no column 'answer'. Did you mean 'anwser'? Columns: question, anwser.",
        ),
    ],
)
def test_gsm8k_names_broken_rows(tmp_path: Path, row: Mapping[str, Any], message: str) -> None:
    file = tmp_path / "train.jsonl"
    file.write_text(json.dumps(row))
    assert error(gsm8k, str(tmp_path)) == f"{file}, line 1: {message}"


def test_a_missing_folder_or_file_is_named_with_its_key(tmp_path: Path) -> None:
    absent = tmp_path / "absent"
    assert error(gsm8k, str(absent)) == (
        f"task.path: there is no folder '{absent}'. "
        "Expected: a GSM8K folder with train.jsonl and test.jsonl."
    )
    assert error(liar, str(absent)) == (
        f"task.path: there is no folder '{absent}'. "
        "Expected: a LIAR folder with train.tsv, valid.tsv and test.tsv."
    )
    assert error(bbh, "navigate", str(absent)) == (
        f"task.path: there is no folder '{absent}'. "
        "Expected: a BIG-Bench Hard folder with one <task>.json a task."
    )
    (tmp_path / "Train.jsonl.gz").touch()
    assert error(gsm8k, str(tmp_path)) == (
        f"task.path: folder '{tmp_path}' has no file 'train.jsonl'. It holds: Train.jsonl.gz."
    )
    assert error(gsm8k, str(tmp_path / "Train.jsonl.gz")) == (
        f"task.path: '{tmp_path}/Train.jsonl.gz' is not a folder. "
        "Expected: a GSM8K folder with train.jsonl and test.jsonl."
    )


def test_bbh_names_unknown_tasks(tmp_path: Path) -> None:
    (tmp_path / "snarks.json").write_text("{}")
    known = f"Known: {', '.join(BBH_TASKS)}."
    wrong = "task.name: BIG-Bench Hard has no task 'word_sort'. Did you mean 'word_sorting'?"
    assert error(bbh, "word_sort") == f"{wrong} {known}"
    assert error(bbh, "word_sort", str(tmp_path)) == (
        f"{wrong} {known} Tasks in '{tmp_path}': snarks."
    )
    assert error(bbh, "navigate", str(tmp_path)) == (
        f"task.path: folder '{tmp_path}' has no file 'navigate.json'. "
        f"Tasks in '{tmp_path}': snarks."
    )
    assert error(bbh, "snarks", str(tmp_path)) == (
        f"{tmp_path}/snarks.json: expected a JSON object with a list 'examples'."
    )


class HubRows(list[dict[str, Any]]):
    """Rows with the features that a hub dataset has."""

    features: Mapping[str, Any] = {}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[Any, Any]]:
    """Put a `datasets` package in place that knows what the test lays down."""
    stored: dict[Any, Any] = {}

    def load_dataset(path: str, name: str | None = None, *, split: str) -> Any:
        found = stored[path, name, split]
        if isinstance(found, Exception):
            raise found
        return found

    module = ModuleType("datasets")
    module.load_dataset = load_dataset  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datasets", module)
    return stored  # type: ignore[return-value]


def test_gsm8k_from_the_hub(hub: dict[Any, Any]) -> None:
    for split in ("train", "test"):
        hub["openai/gsm8k", "main", split] = HubRows([{"question": split, "answer": "#### 1,0"}])
    assert gsm8k() == Pools(
        train=(Example("gsm8k/train/0", {"question": "train"}, "10"),),
        test=(Example("gsm8k/test/0", {"question": "test"}, "10"),),
    )


def test_bbh_from_the_hub(hub: dict[Any, Any]) -> None:
    hub["lukaemon/bbh", "navigate", "test"] = HubRows([{"input": "Left?", "target": "No"}])
    assert bbh("navigate") == Pools(shared=(Example("navigate/0", {"question": "Left?"}, "No"),))


def test_liar_from_the_hub_reads_class_labels_by_name(hub: dict[Any, Any]) -> None:
    names = ["false", "half-true", "mostly-true", "true", "barely-true", "pants-fire"]
    for split in ("train", "validation", "test"):
        rows = HubRows({**row, "label": names.index(row["label"])} for row in LIAR_ROWS)
        rows.features = {"label": SimpleNamespace(names=names), "id": SimpleNamespace()}
        hub["liar", None, split] = rows
    pools = liar()
    assert pools.train == pools.validation == pools.test
    assert pools.test == (
        Example("liar/1", LIAR_EXPECTED, "Yes"),
        Example("liar/2", LIAR_EXPECTED, "No"),
    )


def test_hub_rows_without_a_column_are_named(hub: dict[Any, Any]) -> None:
    hub["openai/gsm8k", "main", "train"] = HubRows([{"question": "q", "answers": "#### 1"}])
    assert error(gsm8k) == (
        "openai/gsm8k (train), row 1: no column 'answer'. Did you mean 'answers'? "
        "Columns: question, answers."
    )
    hub["openai/gsm8k", "main", "train"] = HubRows()
    assert error(gsm8k) == "openai/gsm8k (train) on the Hugging Face hub holds no rows."


def test_an_unreachable_hub_gives_its_reason(hub: dict[Any, Any]) -> None:
    hub["openai/gsm8k", "main", "train"] = ConnectionError("no route to host")
    assert error(gsm8k) == (
        "task.path is null, and 'openai/gsm8k' could not be loaded from the Hugging Face hub: "
        "ConnectionError: no route to host. To read local files, set task.path=FOLDER."
    )


@pytest.mark.parametrize("module", [None, ModuleType("datasets")], ids=["absent", "a folder"])
def test_without_the_datasets_package(
    monkeypatch: pytest.MonkeyPatch, module: ModuleType | None
) -> None:
    monkeypatch.setitem(sys.modules, "datasets", module)
    advice = "set task.path=FOLDER or pip install 'sgdflow[datasets]'."
    for name, call in (("openai/gsm8k", gsm8k), ("liar", liar)):
        assert error(call) == (
            f"task.path is null, and loading '{name}' from the Hugging Face hub needs the "
            f"datasets package: {advice}"
        )
    assert error(bbh, "snarks").endswith(advice)
