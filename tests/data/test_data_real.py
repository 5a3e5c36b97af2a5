"""The benchmarks as they are, where their data is there, and the task configs."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import hydra.utils
import pytest
from omegaconf import DictConfig, OmegaConf

import sgdflow.data
from sgdflow.data import Example, Pools, Splits, bbh, draw, gsm8k, liar, scoring
from sgdflow.data.readers import BBH_TASKS

ROOT = Path(__file__).parents[2]


DATA = Path(os.environ.get("SGDFLOW_DATA") or Path(__file__).parents[3] / "shared" / "data")
real_data = pytest.mark.skipif(
    not (DATA / "gsm8k").is_dir(), reason="benchmark data not found: set SGDFLOW_DATA=FOLDER"
)


@real_data
def test_real_gsm8k() -> None:
    pools = gsm8k(str(DATA / "gsm8k"))
    assert (len(pools.train), len(pools.test)) == (7473, 1319)
    assert pools.train[0].inputs["question"].startswith("Natalia sold clips to 48 of her friends")
    assert (pools.train[0].id, pools.train[0].target) == ("gsm8k/train/0", "72")
    assert pools.train[17].id == "gsm8k/train/17"
    for example in pools.train + pools.test:
        assert example.target.removeprefix("-").isdigit()
        assert scoring.number(example.target, example.target) == 1


@real_data
def test_real_gsm8k_numbers_are_read_from_worked_answers() -> None:
    unmarked_right = 0
    lines = (DATA / "gsm8k" / "train.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
    for line in lines:
        answer = json.loads(line)["answer"]
        worked, target = answer.split("\n#### ")
        assert scoring.number(answer, target) == 1
        unmarked_right += int(scoring.number(worked, target))
    # The rest end in a sentence that gives the result another way than as its last number.
    assert unmarked_right / len(lines) > 0.99


@real_data
def test_real_liar() -> None:
    pools = liar(str(DATA / "liar"))
    table_of_counts = {
        part: Counter(example.target for example in getattr(pools, part))
        for part in ("train", "validation", "test")
    }
    assert table_of_counts == {
        "train": {"Yes": 1242, "No": 1101},
        "validation": {"Yes": 166, "No": 110},
        "test": {"Yes": 154, "No": 142},
    }
    assert pools.train[0] == Example(
        "liar/2635",
        {
            "statement": "Says the Annies List political group supports third-trimester "
            "abortions on demand.",
            "party": "republican",
            "job_title": "State representative",
            "source": "a mailer",
            "state": "Texas",
            "record": "Statement: Says the Annies List political group supports "
            "third-trimester abortions on demand.\nParty: republican\n"
            "Job title: State representative\nSource: a mailer\nState: Texas",
        },
        "Yes",
    )
    draw(pools, {"train": 50, "validation": 50, "test": None}, seed=0)


@real_data
@pytest.mark.parametrize("name", BBH_TASKS)
def test_real_bbh(name: str) -> None:
    pool = bbh(name, str(DATA / "bbh")).shared
    short = {"causal_judgement": 187, "penguins_in_a_table": 146, "snarks": 178}
    assert len(pool) == short.get(name, 250)
    assert (pool[0].id, pool[12].id) == (f"{name}/0", f"{name}/12")
    taken = scoring.like_target.take([example.target for example in pool])
    odd = {
        "movie_recommendation": "249 option letters; 1 other ('Monsters, Inc') is compared as text",
        "ruin_names": "248 option letters; 2 others (the first: 'dearth, wind, & fire') are "
        "compared as text",
    }
    assert taken.unsure == (name in odd)
    assert taken.said == odd.get(name, taken.said)
    for example in pool:
        said = example.target
        for output in (
            said,
            f"**{said}**",
            f"**Answer:** {said}.",
            f"Well.\nThe answer is {said}.",
        ):
            assert scoring.like_target(output, said) == 1, (output, said)
            assert taken.score(output, said) == 1, (output, said)
    splits = draw(Pools(shared=pool), {"train": 20, "validation": 30, "test": None}, seed=0)
    assert len(splits.test) == len(pool) - 50


@real_data
def test_real_bbh_first_row_and_size() -> None:
    assert sum(len(bbh(name, str(DATA / "bbh")).shared) for name in BBH_TASKS) == 6511
    assert bbh("word_sorting", str(DATA / "bbh")).shared[0] == Example(
        "word_sorting/0",
        {"question": "Sort the following words alphabetically: List: syndrome therefrom"},
        "syndrome therefrom",
    )


def config(name: str, **changed: Any) -> DictConfig:
    task = OmegaConf.load(ROOT / "conf" / "task" / f"{name}.yaml")
    whole = OmegaConf.create({"task": OmegaConf.merge(task, changed)})
    assert isinstance(whole.task, DictConfig)
    return whole.task


@pytest.mark.parametrize("name", ["gsm8k", "bbh", "liar", "table"])
def test_task_config_opens_with_its_command(name: str) -> None:
    text = (ROOT / "conf" / "task" / f"{name}.yaml").read_text()
    assert text.startswith("# sgdflow optimize ")
    assert f" task={name} " in text.splitlines()[0]
    task = config(name)
    assert callable(hydra.utils.get_method(task.score._target_))
    assert hydra.utils.get_method(task.data._target_) is getattr(sgdflow.data, name)


@real_data
@pytest.mark.parametrize(
    ("name", "sizes"),
    [("gsm8k", [128, 0, 1319]), ("bbh", [20, 30, 200]), ("liar", [50, 50, 296])],
)
def test_task_config_reads_and_splits_its_data(name: str, sizes: list[int]) -> None:
    task = config(name, path=str(DATA / name))
    splits: Splits = draw(hydra.utils.instantiate(task.data), task.splits, seed=0)
    assert [len(splits.train), len(splits.validation), len(splits.test)] == sizes
    scorer = hydra.utils.get_method(task.score._target_)
    assert scorer(splits.test[0].target, splits.test[0].target) == 1


def test_table_config_reads_what_it_is_given(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("q,a\nWhat is 007?,NA\n")
    by_name = config("table", path=str(file), inputs={"question": "q"}, target="a", id="q")
    assert hydra.utils.instantiate(by_name.data) == Pools(
        shared=(Example("What is 007?", {"question": "What is 007?"}, "NA"),)
    )
    listed = config("table", path={"train": str(file)}, inputs=["q"], target="a")
    assert hydra.utils.instantiate(listed.data) == Pools(
        train=(Example("train/0", {"q": "What is 007?"}, "NA"),)
    )
