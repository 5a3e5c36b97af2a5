"""Probes of worlds whose true answers are known, and of what cannot be probed."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import pytest
from conftest import Start
from scipy import stats

from sgdflow.config.compose import changed, compose
from sgdflow.config.paths import prompt_folders
from sgdflow.config.prepare import Prepared, prepare
from sgdflow.errors import NoResult
from sgdflow.llm import Message, Reply
from sgdflow.llm.scripted import ScriptedLLM
from sgdflow.plan.totals import make_plan
from sgdflow.probe.advice import advise
from sgdflow.probe.crossed import Table
from sgdflow.probe.findings import Advice, Findings, Setting
from sgdflow.probe.probing import probe
from sgdflow.probe.record import probe_record
from sgdflow.probe.sizes import fitted, problems
from sgdflow.probe.units import pairs_of, units
from sgdflow.probe.wordings import Wordings
from sgdflow.probe.words import probe_words
from sgdflow.prompting.templates import Prompts

PROMPTS = Prompts(prompt_folders(Path(__file__).parent))
PAIR = {
    "name": "pair",
    "inputs": ["question"],
    "nodes": {
        "left": {"predecessors": ["question"], "parameters": {"instruction": "Old left."}},
        "right": {"predecessors": ["question"], "parameters": {"instruction": "Old right."}},
        "join": {
            "predecessors": ["question", "left", "right"],
            "forward": {"_target_": "test_probe.joined"},
        },
    },
    "output": "join",
}
Script = Callable[[int, str, str, int], str]
"""(the number in the question, node, prompt, sample) -> reply."""


def joined(question: str, left: str, right: str) -> str:
    return f"{left} {right}"


def both(output: str, target: str) -> float:
    return float(output == "new new")


def either(output: str, target: str) -> float:
    return output.split().count("new") / 2


class World(ScriptedLLM):
    """Models that answer from the number in the question, and from which sample it is."""

    def __init__(self, script: Script) -> None:
        super().__init__(self._said)
        self._world, self._sample = script, 0

    async def complete(
        self, role: str, messages: Sequence[Message], *, node: str, sample: int = 0
    ) -> Reply:
        self._sample = sample  # the script is asked before anything is awaited
        return await super().complete(role, messages, node=node, sample=sample)

    def _said(self, role: str, node: str, messages: Sequence[Message]) -> str:
        text = messages[-1].content if not messages[-1].again else messages[0].content
        found = re.search(r"Item (\d+)", " ".join(m.content for m in messages))
        return self._world(int(found[1]) if found else -1, node, text, self._sample)


def ready(folder: Path, *words: str, rows: int = 80, **replaced: Any) -> Prepared:
    """Return a run over items that are numbers, to be answered with their number."""
    file = folder / "items.jsonl"
    lines = [json.dumps({"q": f"Item {i}", "a": str(i)}) for i in range(rows)]
    file.write_text("\n".join(lines), encoding="utf-8")
    splits = "{train: 40, validation: 30, test: null}"
    words = (f"task.splits={splits}", f"task.data.path={file}", *words)
    raw: Mapping[str, Any] = changed(_composed(), words)
    raw = {**raw, **{key: _overlaid(raw[key], value) for key, value in replaced.items()}}
    return prepare(raw, PROMPTS, None)


@cache
def _composed() -> Mapping[str, Any]:
    task = ("task=table", "task.path=items.jsonl", "task.inputs={question: q}", "task.target=a")
    return compose(["graph=single", *task, "tracking=none", "llm=openai"])


def _overlaid(below: Any, above: Any) -> Any:
    if not isinstance(below, Mapping) or not isinstance(above, Mapping) or "nodes" in above:
        return above
    return {**below, **{key: _overlaid(below.get(key), value) for key, value in above.items()}}


def pair(folder: Path, score: str, *words: str) -> Prepared:
    task = {"score": {"_target_": f"test_probe.{score}"}}
    return ready(folder, *words, graph=PAIR, task=task)


def probed(prepared: Prepared, script: Script) -> tuple[Findings, Advice, World]:
    world = World(script)
    found = asyncio.run(probe(prepared, PROMPTS, world))
    assert found.calls == len(world.requests) <= prepared.config.probe.calls
    return found, advise(prepared, found), world


def setting(advice: Advice, key: str) -> Setting:
    return next(one for one in advice.settings if one.key == key)


def told(prepared: Prepared, found: Findings, advice: Advice) -> str:
    plan = make_plan(prepared, dict.fromkeys(prepared.calling.models, None))
    cost = probe_record(found, advice, plan)["plan"]
    return "\n".join(probe_words(found, advice, cost, prepared.config.probe.calls))


def right(item: int, node: str, prompt: str, sample: int) -> str:
    return f"<output>{item}</output>"


def test_a_perfect_start_is_not_worth_a_run(tmp_path: Path) -> None:
    """By hand: the Wilson interval of 20 of 20 begins at 20 / (20 + 1.96 ^ 2) = 0.8389."""
    prepared = ready(tmp_path)
    found, advice, world = probed(prepared, right)
    assert (found.start.lacking, found.start.form, found.start.examples) == (0.0, 0.0, 20)
    assert len(world.requests) == 20 + 8  # once each, and eight again
    assert advice.verdict == "not worth it"
    assert advice.because == (
        "all answers are right (20 training examples); with 95 % certainty at most 16.1 points "
        "can be gained"
    )
    assert found.noise is not None
    assert (found.noise.moved, found.luck) == (0, 0.0)
    words = told(prepared, found, advice)
    assert "Not worth it, because all answers are right" in words
    assert "nodes       fewer than two have texts that may change" in words


@pytest.mark.parametrize(
    ("reply", "kind"),
    [("<output>I cannot tell.</output>", "without a number"), ("", "empty")],
)
def test_what_cannot_be_read_is_told_from_what_is_wrong(
    tmp_path: Path, reply: str, kind: str
) -> None:
    prepared = ready(tmp_path)
    found, advice, _ = probed(prepared, lambda item, *_: reply)
    assert (found.start.mean, found.start.form) == (0.0, 1.0)
    assert found.start.unreadable == {kind: 20}
    assert advice.verdict == "not yet"
    assert advice.because.startswith(f"100% of what is lacking is form ({kind} 20)")
    assert f"100% of what is lacking: 20 answers unreadable ({kind} 20)" in told(
        prepared, found, advice
    )
    # The same answers, half of them wrong and plain to read: form is the other half's.
    found, _, _ = probed(prepared, lambda item, *_: reply if item % 2 else "<output>-1</output>")
    unread = found.start.unreadable[kind]
    assert found.start.form == unread / 20


def sampled(item: int, node: str, prompt: str, sample: int) -> str:
    """Answer rightly where 2 divides the number, and the second time where 3 does."""
    divisor = 3 if sample else 2
    return f"<output>{item if item % divisor == 0 else -1}</output>"


def test_noise_is_what_differs_between_equal_requests(tmp_path: Path) -> None:
    prepared = ready(tmp_path, "llm.parameters.temperature=1")
    found, advice, world = probed(prepared, sampled)
    train = prepared.problem.splits.train[:8]
    asked = [int(one.inputs["question"].split()[1]) for one in train]
    moved = [i for i in asked if (i % 2 == 0) != (i % 3 == 0)]
    assert 0 < len(moved) < 8
    noise = found.noise
    assert noise is not None
    assert (noise.examples, noise.moved) == (8, len(moved))
    assert noise.variance == pytest.approx(len(moved) / 8 / 2)
    wrong = [i for i in asked if i % 2]
    assert (noise.wrong, noise.lucky) == (len(wrong), sum(i % 3 == 0 for i in wrong))
    assert noise.nodes == {"answer": (len(moved), 8)}
    again = [r for r in world.requests if r.sample]
    first = [r for r in world.requests if not r.sample]
    assert {r.messages for r in again} <= {r.messages for r in first}
    # A strict gate on 40 examples, each of which moves with that probability.
    share = len(moved) / 8
    ups = stats.binom.pmf(range(41), 40, share)
    equal = sum(p * stats.binom.pmf(k / 2, k, 0.5) for k, p in enumerate(ups) if k % 2 == 0)
    assert found.luck == pytest.approx((1 - equal) / 2)
    assert setting(advice, "method.gate.repeats").value > 1
    quiet = ready(tmp_path)
    _, advice, _ = probed(quiet, sampled)
    assert setting(advice, "method.gate.repeats").why == "at temperature 0 nothing is asked again"


def test_what_is_wrong_by_luck_alone_is_not_worth_a_run(tmp_path: Path) -> None:
    prepared = ready(tmp_path)
    found, advice, _ = probed(
        prepared, lambda item, node, prompt, sample: f"<output>{item if sample else -1}</output>"
    )
    assert found.start.mean == 0.0
    assert advice.verdict == "not worth it"
    assert advice.because.startswith(
        "what is wrong is so by luck: all 8 wrong answers that were asked for again were right"
    )


def follows(item: int, node: str, prompt: str, sample: int) -> str:
    """Say "new" where the instruction does; write such an instruction where one is asked for."""
    if node.endswith(".instruction"):
        return f"<wording>New {node.split('.')[0]}.</wording>"
    return f"<output>{'new' if f'New {node}.' in prompt else 'old'}</output>"


def test_two_nodes_that_have_to_change_together_interact(tmp_path: Path) -> None:
    """By hand: on all 8 examples 0, 0, 0 and 1, so that p = 2 / 2 ^ 8."""
    prepared = pair(tmp_path, "both")
    found, advice, _ = probed(prepared, follows)
    (one,) = found.pairs
    assert (one.nodes, one.verdict) == (("left", "right"), "interact")
    assert (one.alone, one.both, one.unlike) == ((0.0, 0.0), 1.0, 8)
    assert one.p == pytest.approx(2 / 2**8)
    assert found.wordings == {
        "left.instruction": ("New left.",),
        "right.instruction": ("New right.",),
    }
    assert setting(advice, "method.proposals.form").value == "joint"
    assert "left x right: interact (alone +0.000 and +0.000, together +1.000; 8 differ on 8" in (
        told(prepared, found, advice)
    )


def test_two_nodes_whose_effects_add_up_do_not_interact(tmp_path: Path) -> None:
    """By hand: none of 8 leaves 1 - 0.05 ^ (1 / 8) = 31.2 % of examples on which they could."""
    prepared = pair(tmp_path, "either")
    found, advice, _ = probed(prepared, follows)
    (one,) = found.pairs
    assert (one.verdict, one.alone, one.both, one.unlike) == ("add up", (0.5, 0.5), 1.0, 0)
    assert one.at_most == pytest.approx(1 - 0.05 ** (1 / 8))
    assert setting(advice, "method.proposals.form").value == "single"


def test_noise_alone_is_rarely_called_interaction(tmp_path: Path) -> None:
    """Wordings that raise the chance of a right answer by .2 and .1, and by .3 together.

    Of 150 tables of noise one in twenty may be called so at the most, and by luck a few more.
    """
    prepared = pair(tmp_path, "both")
    found = units(prepared.problem.graph, prepared.problem.optimised, prepared.start, ())
    texts = {"left.instruction": ("L",), "right.instruction": ("R",)}
    pairs = pairs_of(prepared.problem.graph, found)
    table = Table(prepared.problem.graph, prepared.start, pairs, Wordings(texts))
    left, right = ("left", 0), ("right", 0)
    chances = {(): 0.5, (left,): 0.7, (right,): 0.6, (left, right): 0.8}
    random, called = Random(7), 0
    for _ in range(150):
        scores = {
            cell: {str(i): float(random.random() < chance) for i in range(8)}
            for cell, chance in chances.items()
        }
        (one,) = table.judged(scores, 0.05)
        called += one.verdict == "interact"
    assert called <= 7.5 + 3 * (150 * 0.05 * 0.95) ** 0.5


def test_pairs_run_again_only_what_depends_on_them(tmp_path: Path) -> None:
    """Two calls write wordings; then one call an example for each alone, two for both."""
    prepared = pair(tmp_path, "both", "probe.examples=10", "probe.again=0")
    found, _, world = probed(prepared, follows)
    assert len(world.requests) == 10 * 2 + 2 + 8 * (1 + 1 + 2) == fitted(prepared).calls
    by_node = [r.node for r in world.requests if r.role == "forward"]
    assert by_node.count("left") == by_node.count("right") == 10 + 8 + 8
    assert found.noise is None


def test_wordings_of_ones_own_take_no_call(tmp_path: Path) -> None:
    texts = "{left.instruction: [New left., Odd left.], right.instruction: [New right.]}"
    prepared = pair(tmp_path, "both", f"probe.wordings.texts={texts}")
    found, _, world = probed(prepared, follows)
    assert {r.role for r in world.requests} == {"forward"}
    # Of two wordings the one that interacts is shown; its p is corrected for both. That takes more
    # examples than are declared: 2 * 2 / 2 ^ n is 5 % at most from n = 7 on, and 8 are.
    assert found.pairs[0].verdict == "interact"
    assert found.pairs[0].p == pytest.approx(2 * 2 / 2**8)


def test_a_writer_that_says_the_same_again_leaves_the_pair_untried(tmp_path: Path) -> None:
    def stubborn(item: int, node: str, prompt: str, sample: int) -> str:
        if node == "right.instruction":
            return "<wording>old  RIGHT.</wording>"
        return follows(item, node, prompt, sample)

    prepared = pair(tmp_path, "both")
    found, advice, _ = probed(prepared, stubborn)
    (one,) = found.pairs
    assert one.verdict == "not tried"
    assert one.why.startswith("no other wording of right: 2 replies of the optimizer model")
    assert not [one for one in advice.settings if one.key == "method.proposals.form"]
    assert "left x right: not tried: no other wording of right" in told(prepared, found, advice)


def test_wordings_that_move_nothing_say_so(tmp_path: Path) -> None:
    def deaf(item: int, node: str, prompt: str, sample: int) -> str:
        return follows(item, node, "" if not node.endswith(".instruction") else prompt, sample)

    found, _, _ = probed(pair(tmp_path, "both"), deaf)
    assert found.pairs[0].verdict == "nothing moved"


@pytest.mark.parametrize("calls", [2, 5, 11, 30, 61])
def test_no_more_calls_are_made_than_declared_whatever_models_reply(
    tmp_path: Path, calls: int
) -> None:
    """Replies that can never be read are each asked for three times, beyond what was planned."""
    prepared = pair(tmp_path, "both", f"probe.calls={calls}")
    assert fitted(prepared).calls <= calls
    probed(prepared, follows)
    world = World(lambda *_: "")
    with suppress(NoResult):  # where all calls went into the first example
        asyncio.run(probe(prepared, PROMPTS, world))
    assert 0 < len(world.requests) <= calls


def test_an_example_that_no_call_was_left_for_is_no_wrong_answer(tmp_path: Path) -> None:
    """Ten calls, and seven of them again and again: of 20 there are three for the last seven."""
    prepared = ready(tmp_path, "probe.calls=20", "probe.again=0")
    easy = {one.inputs["question"] for one in prepared.problem.splits.train[:3]}

    def third(item: int, node: str, prompt: str, sample: int) -> str:
        read = f"Item {item}" in easy or sample >= 2000
        return right(item, node, prompt, sample) if read else ""

    found, _, _ = probed(prepared, third)
    assert (found.start.examples, found.start.failed) == (3 + 3, 4)
    assert (found.start.mean, found.start.unreadable) == (1.0, {})


def test_the_evaluation_is_told_what_it_can_show(tmp_path: Path) -> None:
    """By hand: with 5 validation examples at level .05 all five have to go up."""
    half = "task.splits={train: 40, validation: 5, test: null}"
    words = (half, "probe.losses=0", "probe.gain=0.3")
    prepared = ready(tmp_path, *words)
    found, advice, _ = probed(
        prepared, lambda item, *_: f"<output>{item if item % 2 else -1}</output>"
    )
    (sight,) = found.sights
    assert (sight.by, sight.examples, sight.level) == ("confirm", 5, 0.05)
    assert sight.power == pytest.approx(0.3**5)
    assert sight.needed is not None
    assert setting(advice, "task.splits.validation").value == sight.needed > 5
    none = ready(tmp_path, "task.splits={train: 40, validation: 0, test: null}")
    found, advice, _ = probed(none, lambda item, *_: f"<output>{item if item % 2 else -1}</output>")
    assert found.sights == ()
    told = setting(advice, "task.splits.validation")
    assert told.why.startswith(
        "with 0 it confirms nothing: there is no validation example, and it takes 5"
    )
    # The same world with enough of them is the oracle.
    many = ready(tmp_path, "task.splits={train: 40, validation: 5, test: null}")
    found, _, _ = probed(many, lambda item, *_: f"<output>{item if item % 2 else -1}</output>")
    assert told.value == found.sights[0].needed
    off = ready(
        tmp_path, "task.splits={train: 40, validation: 0, test: null}", "method.confirm=null"
    )
    _, advice, _ = probed(off, lambda item, *_: f"<output>{item if item % 2 else -1}</output>")
    told = setting(advice, "task.splits.validation")
    assert (told.value, told.why) == (0, "confirms nothing: method.confirm=null")


def test_few_failures_are_what_a_step_can_learn_from(tmp_path: Path) -> None:
    """One wrong in five: of 40 about eight; and of the failures none is luck."""
    prepared = ready(tmp_path, "probe.examples=40", "method.sample.count=20")
    found, advice, _ = probed(
        prepared, lambda item, *_: f"<output>{item if item % 5 else -1}</output>"
    )
    count = round(40 * found.start.lacking)
    assert setting(advice, "method.sample.count").value == count < 20
    assert setting(advice, "task.splits.train").value > 40


@pytest.mark.parametrize(("gain", "guard"), [("0.3", 9), ("0.5", 5), ("0.1", None)])
def test_a_guard_is_large_enough_to_notice_what_a_text_spoils(
    tmp_path: Path, gain: str, guard: int | None
) -> None:
    """By hand: of 9 examples .7 ^ 9 = .04 are all spared, of 8 .058; 10 points take 29."""
    words = ("method.gate.first=sampled", f"probe.gain={gain}", "probe.examples=40")
    prepared = ready(tmp_path, *words)
    found, advice, _ = probed(
        prepared, lambda item, *_: f"<output>{item if item % 2 else -1}</output>"
    )
    said = setting(advice, "method.gate.guard")
    right = round(40 * found.start.mean)
    assert right < 29
    assert said.value == (guard or right)
    assert said.why.startswith("all that are right" if guard is None else "a text that spoils")
    plain = ready(tmp_path, "probe.examples=40")
    _, advice, _ = probed(plain, lambda item, *_: f"<output>{item if item % 2 else -1}</output>")
    assert setting(advice, "method.gate.guard").value == 0


BAD: Mapping[str, tuple[Sequence[str], Sequence[str]]] = {
    "fewer calls than an example takes": (
        ["probe.calls=1"],
        [
            "probe.calls: 1 is less than the 2 that one example takes with 3 nodes, so that "
            "nothing could be scored. Set probe.calls=16 or more."
        ],
    ),
    "a wording of nobody": (
        ["probe.wordings.texts={lft.instruction: [New.]}"],
        [
            "probe.wordings.texts.lft.instruction: the method optimises no parameter "
            "'lft.instruction' of graph 'pair'. Did you mean 'left.instruction'? It optimises: "
            "left.instruction, right.instruction."
        ],
    ),
    "the text as it stands": (
        ["probe.wordings.texts={left.instruction: [Old left.]}"],
        [
            "probe.wordings.texts.left.instruction: one of them is the text as it stands; give "
            "other ones."
        ],
    ),
    "a number for a text": (
        ["probe.wordings.texts={left.instruction: [3]}"],
        ["probe.wordings.texts.left.instruction: 3 is no text, as the parameter is."],
    ),
    "a role that nobody plays": (
        ["probe.wordings.role=optimiser"],
        [
            "probe.wordings.role: llm.models has no 'optimiser'. Did you mean 'optimizer'? It "
            "has: forward, backward, optimizer, judge."
        ],
    ),
    "a template that is not there": (
        ["probe.wordings.prompt=probe/wording.jinja"],
        ["probe.wordings: there is no template 'probe/wording.jinja'"],
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_told_before_any_call(case: str, tmp_path: Path) -> None:
    words, expected = BAD[case]
    found = list(problems(pair(tmp_path, "both", *words), PROMPTS))
    assert [line[: len(told)] for line, told in zip(found, expected, strict=True)] == expected


def test_pairs_that_nothing_could_be_shown_of_are_not_tried(tmp_path: Path) -> None:
    splits = "task.splits={train: 5, validation: 30, test: null}"
    found, _, world = probed(pair(tmp_path, "both", splits), follows)
    assert [one.why for one in found.pairs] == [
        "5 training examples can show nothing (task.splits.train)"
    ]
    assert {r.role for r in world.requests} == {"forward"}


def test_the_command_says_records_and_tracks_it(tmp_path: Path, at: Start) -> None:
    from mlflow import MlflowClient

    words = ("experiments=quickstart", "hydra.run.dir=first", "probe.calls=40")
    code, out, err = at(tmp_path, "probe", *words)
    assert code == 0, err
    record = json.loads((tmp_path / "first" / "probe.json").read_text(encoding="utf-8"))
    assert out.splitlines()[-1].endswith("first")
    for line in record["words"]:
        assert line in out + err
    assert record["calls"]["forward"] <= 40
    assert record["advice"]["verdict"] == "worth a run"
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    [experiment] = [e for e in client.search_experiments() if e.name == "sgdflow"]
    [run] = client.search_runs([experiment.experiment_id])
    assert run.data.tags["sgdflow.kind"] == "probe"
    assert run.data.metrics["probe/start_lacking"] == record["start"]["lacking"]
    assert run.data.metrics["probe/run_calls"] == record["plan"]["expected"]["calls"]
    names = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert {"probe.json", "probe.txt", "config.yaml"} <= names
    assert at(tmp_path, "compare")[0] == 1  # a probe is no run to compare
    code, _, err = at(tmp_path, "probe", "experiments=quickstart", "probe.calls=3")
    assert code == 1
    assert err == (
        "probe.calls: 3 is less than the 4 that one example takes with 4 nodes, so that nothing "
        "could be scored. Set probe.calls=32 or more.\n"
    )
