"""The benchmarks do the job that they measure."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest
from measure import serving
from running import LIAR_PARTS, exact, share, share_of_liar
from thousand import KINDS, before, measured

from sgdflow.data import liar

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.mark.parametrize(
    ("words", "calls"),
    [
        (["peer_jobs/sgdflow_job.py"], 101),
        (["peer_jobs/floor_job.py"], 101),
        (["step.py", "--url"], 101 + 64),  # the new texts are scored when the clock has stopped
    ],
)
def test_the_small_step_takes_its_calls(words: list[str], calls: int, tmp_path: Path) -> None:
    with serving(0.1) as served:
        script, *options = words
        command = [sys.executable, str(BENCHMARKS / script), *options, served.url]
        run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (run.returncode, run.stderr) == (0, "")
    assert json.loads(run.stdout)["wall"] >= 0.4
    assert served.seen["requests"] == calls
    assert 1 < served.seen["most_at_once"] <= 64
    assert not any(tmp_path.iterdir())


def _liar(folder: Path) -> None:
    row = "{}.json\t{}\tS{}\ttax\tA B\tsenator\tOhio\tdemocrat\t0\t0\t0\t0\t0\ta speech\n"
    for k, file in enumerate(LIAR_PARTS):
        numbers = range(100 * k, 100 * k + 30)
        rows = [row.format(n, ("false", "true", "half-true")[n % 3], n) for n in numbers]
        (folder / file).write_text("".join(rows), encoding="utf-8")


def test_the_shares_of_liar_are_disjoint_and_usable(tmp_path: Path) -> None:
    _liar(tmp_path)
    shares = [
        liar(str(share_of_liar(str(tmp_path), first, (4, 3, 5), tmp_path / str(first))))
        for first in [(0, 0, 0), (4, 3, 5)]
    ]
    for one, other, count in [
        (shares[0].train, shares[1].train, 4),
        (shares[0].validation, shares[1].validation, 3),
        (shares[0].test, shares[1].test, 5),
    ]:
        assert len(one) == len(other) == count
        assert {each.target for each in (*one, *other)} == {"Yes", "No"}
        assert not {each.id for each in one} & {each.id for each in other}
    with pytest.raises(SystemExit, match="has 20 usable rows, 21 are asked for"):
        share_of_liar(str(tmp_path), (0, 0, 0), (21, 0, 0), tmp_path / "more")


def test_the_shares_of_seeds_are_disjoint_and_stay_the_same(tmp_path: Path) -> None:
    items = [{"input": f"Is {n} even?", "target": "Yes"} for n in range(20)]
    (tmp_path / "parity.json").write_text(json.dumps({"examples": items}), encoding="utf-8")

    def taken(first: int, into: str) -> list[str]:
        file = share(str(tmp_path), "parity", first, 6, tmp_path / into) / "parity.json"
        return [one["input"] for one in json.loads(file.read_text(encoding="utf-8"))["examples"]]

    seeds = [taken(2 + 6 * seed, str(seed)) for seed in range(3)]
    assert len({one for seed in seeds for one in seed}) == 3 * 6
    assert taken(8, "again") == seeds[1]
    with pytest.raises(SystemExit, match="has 20 items, 21 are asked for"):
        taken(15, "more")


@pytest.mark.parametrize(("up", "down"), [(0, 0), (1, 0), (3, 3), (6, 1), (1, 6), (5, 4), (9, 0)])
def test_the_sign_test_counts_all_ways_to_toss(up: int, down: int) -> None:
    tosses = list(product((1, -1), repeat=up + down))
    far = sum(abs(sum(one)) >= abs(up - down) for one in tosses)
    assert exact(up, down) == pytest.approx(far / len(tosses))


@pytest.mark.parametrize(
    ("graph", "texts"),
    [
        ("two", "notes.instruction, answer.instruction"),
        ("liar3", "statement.instruction, party.instruction, judge.instruction"),
    ],
)
def test_the_graphs_of_the_real_model_are_sound(graph: str, texts: str, tmp_path: Path) -> None:
    _liar(tmp_path)
    items = [{"input": f"Is {n} even?", "target": ("Yes", "No")[n % 2]} for n in range(9)]
    (tmp_path / "navigate.json").write_text(json.dumps({"examples": items}), encoding="utf-8")
    words = ["check", "--project", str(BENCHMARKS / "real"), f"graph={graph}", "llm=simulated"]
    words += ["task=liar"] if graph == "liar3" else ["task=bbh", "task.name=navigate"]
    words += [f"task.path={tmp_path}"]
    words += ["task.splits={train: 3, validation: 3, test: 3}"]
    command = [sys.executable, "-m", "sgdflow", *words]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")
    assert f"optimises {texts}" in run.stdout


def test_the_large_graphs_have_the_shapes_that_are_told() -> None:
    for kind in KINDS:
        graph = before(kind, 1000 if kind != "layered" else 991)
        *inner, end = graph
        edges = [one for own in graph.values() for one in own]
        assert end == "answer"
        assert {*inner} <= {*edges}  # none is without a successor
        place = {name: number for number, name in enumerate(("order", *graph))}
        assert all(place[one] < place[name] for name, own in graph.items() for one in own)
        count = {
            "chain": 1000,
            "wide": 2 * 999,
            "layered": 10 + 98 * 100 + 10,
            "random": len(edges),
        }
        assert len(edges) == count[kind]
    sizes = [len(own) for own in before("random", 1000).values()][6:-1]
    assert {*sizes} == {1, 2, 3, 4, 5}
    assert before("random", 1000) == before("random", 1000)


def test_a_large_graph_takes_its_step() -> None:
    line = measured("random", 12, ["tracking=none"])
    assert re.fullmatch(
        r"random   12 nodes   YAML +[\d.]+ s, build +[\d.]+ s   CPU +[\d.]+ s   "
        r"at most +\d+ MB   run +0\.[1-9] MB",
        line,
    )


def test_what_is_tracked_is_measured_on_whole_runs() -> None:
    command = [sys.executable, str(BENCHMARKS / "recording.py"), "--latency", "0", "--times", "1"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    kinds = [line[2:22].strip() for line in run.stdout.splitlines()[1:]]
    assert kinds == ["none", "metrics and files", "and prompts", "and traces"]
