"""What `sgdflow plan` says a run takes, against what runs on the simulated worlds take."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from simulated import Simulated

from sgdflow.cli.main import main
from sgdflow.config.compose import compose
from sgdflow.config.paths import prompt_folders
from sgdflow.config.prepare import Prepared, prepare
from sgdflow.descent import Descent, Result, Scores, Step
from sgdflow.executor.forward import CallableForward, PromptForward
from sgdflow.llm import Message, Reply, Spent
from sgdflow.llm.models import Price
from sgdflow.llm.scripted import ScriptedLLM
from sgdflow.plan.rehearsal import Moment, Rehearsal
from sgdflow.plan.table import as_text
from sgdflow.plan.totals import Plan, at_most, make_plan
from sgdflow.prompting.templates import Prompts
from sgdflow.simulation.worlds import reply

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("SGDFLOW_DATA", ROOT.parent / "shared" / "data"))
PROMPTS = Prompts(prompt_folders(Path(__file__).parent))
FEW = ("task.splits.train=20", "task.splits.validation=10", "task.splits.test=20")
AT_RANDOM = "llm.parameters.temperature=1"


class Unshared(ScriptedLLM):
    """The simulated models, asked as at a temperature that is not 0: every time."""

    def __init__(self) -> None:
        super().__init__(lambda role, node, messages: reply(messages, self._seed))
        self._seed = 0

    async def complete(
        self, role: str, messages: Sequence[Message], *, node: str, sample: int = 0
    ) -> Reply:
        self._seed = sample
        return await super().complete(role, messages, node=node, sample=sample)


@dataclass(frozen=True)
class Watch:
    steps: list[Step]

    def scored(self, initial: Scores) -> None: ...

    def stepped(self, step: Step) -> None:
        self.steps.append(step)


def ready(*words: str) -> Prepared:
    if not any(word.startswith("method=") for word in words):
        words = ("method=paper", "method.sample.count=8", *words)  # all is scored in each step
    raw = compose(["experiments=quickstart", "tracking=none", *FEW, *words])
    return prepare(raw, PROMPTS, None)


def ran(*words: str) -> tuple[Result, list[Step]]:
    prepared, watch = ready(*words), Watch([])
    llm = Unshared() if AT_RANDOM in words else Simulated()
    descent = Descent(prepared.problem, prepared.method, llm, watch)
    return asyncio.run(descent.run(prepared.start)), watch.steps


def planned(*words: str) -> Plan:
    prepared = ready(*words)
    return make_plan(prepared, dict.fromkeys(prepared.calling.models, Price(1.0, 2.0)))


def calls(taken: Mapping[str, Spent]) -> dict[str, int]:
    return {role: spent.calls for role, spent in taken.items() if spent.calls}


def tokens(taken: Mapping[str, Spent]) -> int:
    return sum(spent.usage.prompt + spent.usage.completion for spent in taken.values())


def declared(result: Result) -> str:
    means = {
        role: max(1, round(spent.usage.completion / spent.calls))
        for role, spent in result.spent.items()
        if spent.calls
    }
    inner = ", ".join(f"{role}: {mean}" for role, mean in means.items())
    return f"llm.assumed.tokens={{{inner}}}"


WORDS = ["graph=hints", "task=bbh", f"task.path={DATA / 'bbh'}", "task.name=word_sorting"]
WORLDS = [
    ["method=semantic"],
    ["method.aggregation.examples=tree"],
    ["method=textgrad"],
    ["method=optoprime"],
    ["method=no_neighbors"],
    ["method=no_gradient", "method.batch=8"],
    ["graph=desk", "task.data.parts=4", "seed=4"],
    ["graph=desk", "task.data.parts=5"],
    [*WORDS, "method=textgrad"],
    WORDS,
]


def needs(words: Sequence[str]) -> None:
    if "task=bbh" in words and not (DATA / "bbh").is_dir():
        pytest.skip("BIG-Bench Hard data is not here")


def between_steps(step: Step) -> dict[str, int]:
    before, after = step.spent
    return {
        role: spent.calls - before[role].calls if role in before else spent.calls
        for role, spent in after.items()
    }


@pytest.mark.parametrize(
    "words", WORLDS, ids=lambda words: " ".join(w for w in words if "path" not in w)
)
def test_what_a_run_takes_is_within_a_tenth(words: Sequence[str]) -> None:
    """Where nothing is shared, all that a run without luck takes can be known beforehand."""
    needs(words)
    words = [*words, AT_RANDOM, "method.gate.wave=null", "method.stop.steps=2"]
    result, steps = ran(*words)
    plan = planned(*words, declared(result), f"method.stop.steps={result.steps}")
    lazy = ready(*words).method.lazy  # how much of it is scored depends on what turns up
    rows = {row.name.partition(":")[0]: row for row in plan.totals}
    most, parts = rows["at most"], {row.name: row for row in plan.parts}
    assert calls(parts["before the first step"].taken) == calls(steps[0].spent[0])
    better = result.final != result.initial  # where not, nothing is scored at the end
    if better and all(step.tried.decision.accepted for step in steps) and not lazy:
        assert calls(most.taken) == pytest.approx(calls(result.spent), rel=0.1)
        assert tokens(most.taken) == pytest.approx(tokens(result.spent), rel=0.1)
    lucky = result.stop_reason.startswith("score")  # and found so on all training examples
    others = len(ready(*words).problem.graph.nodes) * 20 if lucky else 0
    for role, spent in result.spent.items():
        at_most = most.taken[role].calls + others * (role == "forward")
        assert rows["at least"].taken[role].calls <= spent.calls <= at_most
    if all(step.tried.decision.accepted for step in steps) and not lazy:
        made = sum((Counter(between_steps(step)) for step in steps), Counter())
        mean = {role: number / len(steps) for role, number in made.items()}
        assert calls(parts["a step, accepted"].taken) == pytest.approx(mean, rel=0.1)


@pytest.mark.parametrize(
    "words", WORLDS[::3], ids=lambda words: " ".join(w for w in words if "path" not in w)
)
def test_shared_requests_are_counted_once(words: Sequence[str]) -> None:
    """At temperature 0: exact at the start, then a bound; expected, where told what will come."""
    needs(words)
    words = [*words, "method.stop.steps=2"]
    result, steps = ran(*words)
    changes = [len(s.tried.proposal.changes) / len(s.tried.parameters) for s in steps]
    accepted = sum(s.tried.decision.accepted for s in steps) / len(steps)
    plan = planned(
        *words,
        declared(result),
        f"method.stop.steps={result.steps}",
        f"llm.assumed.changed={sum(changes) / len(changes) or 0.01}",
        f"llm.assumed.accepted={accepted}",
    )
    least, *_, expected, most = plan.totals
    if all(changes) and min(changes) == accepted == 1 and not ready(*words).method.lazy:
        assert calls(most.taken) == pytest.approx(calls(result.spent), rel=0.1)
        assert tokens(most.taken) == pytest.approx(tokens(result.spent), rel=0.1)
    assert calls(least.taken) == calls(steps[0].spent[0])
    for role, spent in result.spent.items():
        assert least.taken[role].calls <= spent.calls <= most.taken[role].calls
        assert least.taken[role].calls <= expected.taken[role].calls <= most.taken[role].calls


SEQUENCE = ["method=sequence", "method.stop.budget.calls=700"]
APART = [
    ["method.aggregation.examples=cluster"],
    ["method.update.critique={prompt: optimizer/causes.jinja, causes: 2}"],
    SEQUENCE,
]


@pytest.mark.parametrize("words", APART, ids=" ".join)
def test_what_nobody_can_know_beforehand_is_bounded(words: Sequence[str]) -> None:
    """How many causes there are, and which leg takes how many steps."""
    own = [] if words is SEQUENCE else ["method.stop.steps=2"]
    result, steps = ran(*words, *own, AT_RANDOM)
    plan = planned(*words, *own, AT_RANDOM)
    first, most = calls(plan.parts[0].taken), plan.totals[-1]
    assert first == calls(steps[0].spent[0])
    assert result.spent["optimizer"].calls > 0
    for role, spent in result.spent.items():
        assert spent.calls <= most.taken[role].calls
    assert all(most.taken[role].calls > 0 for role in ("forward", "backward", "optimizer"))


def test_what_is_taken_at_most_is_no_less_than_what_is_expected() -> None:
    """Several candidates share no requests, so some accepted may take more than all or none."""

    def moments(*calls: int) -> tuple[Moment, ...]:
        return tuple(Moment({"forward": Spent(n), "optimizer": Spent(n)}, n) for n in calls)

    most = Rehearsal(moments(10, 30, 31), "steps", ())
    late = Rehearsal(moments(10, 40, 40), "steps", ())
    for mixed, bound in ((50, 50), (20, 41)):
        *_, row = at_most(most, late, moments(mixed)[0], 1, alone=True)
        assert calls(row.taken) == {"forward": bound, "optimizer": bound}
        assert row.seconds == bound


def test_a_share_that_is_too_small_for_a_step_is_told() -> None:
    plan = planned("method=sequence", "method.stop.budget.calls=90")
    assert plan.warnings[0].startswith(
        "method.stop.budget.calls: 27, the share of method.sequence.first, is less than the "
    )
    assert plan.warnings[0].endswith(
        " This leg ends after its first step. Set it higher, or have a step score or propose less."
    )


def test_copro_turned_down_is_known_exactly() -> None:
    words = ["method=copro", AT_RANDOM, "method.stop.steps=2", "seed=1"]
    result, steps = ran(*words)
    assert not any(step.tried.decision.accepted for step in steps)
    (down,) = [row for row in planned(*words).totals if "turned down" in row.name]
    assert calls(down.taken) == pytest.approx(calls(result.spent), rel=0.1)


def test_early_rejection_is_part_of_the_least() -> None:
    """With one wave of 5 examples, 4 nodes and 8 sampled failures: nothing else is called."""
    plan = planned(AT_RANDOM, "method.gate.wave=5", "method.stop.patience=3")
    parts = {row.name: row for row in plan.parts}
    down = calls(parts["a step, turned down at once"].taken)
    assert down == {"forward": 5 * 4, "backward": 8, "optimizer": 4}
    start, end = 50 * 4, 20 * 4
    assert calls(parts["before the first step"].taken) == {"forward": start}
    assert calls(parts["after the last step"].taken) == {"forward": end}
    accepted = {"forward": (20 + 10) * 4, "backward": 8, "optimizer": 4}
    assert calls(parts["a step, accepted"].taken) == accepted
    names = [row.name for row in plan.totals]
    assert "all 3 steps turned down at once" in names
    assert calls(plan.totals[1].taken) == {
        "forward": start + 3 * 20,
        "backward": 24,
        "optimizer": 12,
    }
    most = {"forward": start + 12 * 120 + end, "backward": 96, "optimizer": 48}
    assert calls(plan.totals[-1].taken) == most
    plan = planned(AT_RANDOM, "method.gate.first=sampled", "method.sample.count=2")
    parts = {row.name: row for row in plan.parts}
    assert calls(parts["a step, turned down at once"].taken)["forward"] == 2 * 4


def test_no_made_up_text_is_refused() -> None:
    """Replies as long as a real model's are made of one phrase, which a check calls a copy."""
    for method in ("optoprime", "semantic", "copro"):
        plan = planned(f"method={method}", "llm=vllm", "method.stop.steps=1")
        assert plan.warnings == ()
        assert calls(plan.totals[-1].taken)["forward"] > calls(plan.totals[0].taken)["forward"]


@pytest.mark.parametrize(
    ("limits", "seconds"),
    [
        # 20 and 10 examples together and then 20, each of three calls and then a fourth
        ("concurrency=1", 3.0 * 50 * 4),
        ("concurrency=1000", 3.0 * (3 + 2)),  # 64 of the first 90 calls at once
        ("concurrency=10", 3.0 * (6 + 2 + 3 + 1 + 6 + 2)),
        # 200 calls: the first 80 at once, 80 a minute later, the last 40 after another
        ("requests_per_minute=80", 60.0 * 2 + 3.0 * 2),
    ],
)
def test_time_is_what_the_limits_allow(limits: str, seconds: float) -> None:
    words = [f"llm.limits.{limits}", "llm.assumed.seconds=3", "method.stop.steps=0"]
    plan = planned(AT_RANDOM, *words)
    assert plan.totals[0].seconds == pytest.approx(seconds, rel=0.05)


def test_cost_is_that_of_the_tokens() -> None:
    plan = planned("method.stop.steps=1")
    for row in (*plan.parts, *plan.totals):
        usage = row.total.usage
        assert row.total.cost == pytest.approx((usage.prompt + 2 * usage.completion) / 1e6)
    prepared = ready("method.stop.steps=1")
    prices = {
        role: None if role == "optimizer" else Price(1, 1) for role in prepared.calling.models
    }
    plan = make_plan(prepared, prices)
    assert plan.totals[0].total.cost is not None  # no optimizer is asked there
    assert plan.totals[-1].total.cost is None
    text = as_text(plan)
    assert "unknown" in text
    assert "No price is known for simulated/worlds (llm.prices)." in text


def test_a_budget_ends_the_planned_run_and_too_small_a_one_is_told() -> None:
    words = [AT_RANDOM, "method.stop.steps=4"]
    result, _ = ran(*words, "method.stop.budget.calls=400")
    plan = planned(*words, "method.stop.budget.calls=400")
    (warning,) = plan.warnings
    assert warning.startswith(f"The budget may end the run after step {result.steps} of 4 (budget")
    assert calls(plan.totals[-1].taken)["forward"] >= result.spent["forward"].calls
    small = planned(*words, "method.stop.budget.forward=100")
    assert any("is less than the" in warning for warning in small.warnings)


def test_a_long_run_is_planned_from_its_first_steps() -> None:
    short = planned(AT_RANDOM, "method.stop.steps=100")
    step = {"forward": 120, "backward": 8, "optimizer": 4}
    assert calls(short.totals[-1].taken) == {
        "forward": 200 + 100 * step["forward"] + 80,
        "backward": 100 * step["backward"],
        "optimizer": 100 * step["optimizer"],
    }
    assert "are taken to be like it" in as_text(short)


def test_python_functions_of_the_user_are_not_called(tmp_path: Path) -> None:
    """They may cost something or refuse made-up values; what follows them is still planned."""
    table = tmp_path / "sums.csv"
    table.write_text("question,answer\n" + "".join(f"{i} + 1,{i + 1}\n" for i in range(6)))
    words = ["graph=calculator", "task=table", f"task.path={table}", "task.target=answer"]
    words += ["task.inputs={question: question}", "task.splits={train: 3, validation: 1, test: 2}"]
    prepared = ready(*words, "method.stop.steps=1", "method.sample.count=1")
    graph = prepared.problem.graph

    def refuse(*values: object, **named: object) -> object:
        raise AssertionError("it was called")

    for node in graph.nodes.values():
        if isinstance(node.forward, CallableForward):
            object.__setattr__(node.forward.function, "call", refuse)
    plan = make_plan(prepared, dict.fromkeys(prepared.calling.models, None))
    assert plan.warnings == ()
    asked = sum(isinstance(node.forward, PromptForward) for node in graph.nodes.values())
    assert 0 < asked < len(graph.nodes)
    assert calls(plan.totals[0].taken) == {"forward": 6 * asked}


def test_the_command_needs_no_key_sends_nothing_and_leaves_no_trace(tmp_path: Path) -> None:
    environ = {name: value for name, value in os.environ.items() if "KEY" not in name}
    words = ["experiments=quickstart", "llm=openai", "llm.api_base=http://127.0.0.1:9/v1", *FEW]
    command = [sys.executable, "-m", "sgdflow", "plan", "-m", "method.stop.steps=1,2", *words]
    ended = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.count("in all\n") == 2
    late = "scored to the end and turned down, each text alone, too"
    assert f"at most: the only step {late}" in ended.stdout
    assert f"at most: all 2 steps {late}" in ended.stdout
    assert (
        "Scored to the end and turned down: a proposal that fails only after up to 20 training "
        "examples were scored with it; then as many are scored with each of its texts alone"
    ) in ended.stdout
    assert "No price is known for openai/gpt-4o-mini" in ended.stdout  # whoever sits there
    assert list(tmp_path.iterdir()) == []


def test_the_plan_says_how_targets_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_text("q,a\n" + "".join(f"x{i},{i}\n" for i in range(5)) + "y,Paris\n")
    words = ["graph=single", "task=table", "task.path=t.csv", "task.target=a"]
    words += ["task.inputs={question: q}", "task.splits={train: 3, validation: 1, test: 2}"]
    words += ["method.confirm=null"]
    monkeypatch.setattr(sys, "argv", ["sgdflow", "plan", *words])
    assert main() == 0
    assert capsys.readouterr().out.splitlines()[-1] == (
        "targets: 5 numbers; 1 other ('Paris') is compared as text; choose task.score=NAME if that "
        "is wrong (docs/scoring.md)"
    )


UNHEARD = [f"llm.models.{role}=openai/unheard" for role in ("forward", "backward", "optimizer")]


@pytest.mark.parametrize(
    "words",
    [
        ("llm=vllm",),
        ("llm=openai", "llm.api_base=https://api.openai.com/v1", "llm.transport=litellm", *UNHEARD),
    ],
)
def test_an_endpoint_without_a_price_costs_an_unknown_amount(words: Sequence[str]) -> None:
    """litellm is told a stand-in, which spares it a search in each call; it is no price."""
    prepared = ready(*words, "method.stop.steps=1")
    models, backend = prepared.calling.models, prepared.calling.backend
    for _ in range(2):  # the stand-in is there from the first time on
        prices = {role: backend.price_of(spec) for role, spec in models.items()}
        assert prices == dict.fromkeys(models)
        backend.load(models.values())
    text = as_text(make_plan(prepared, prices))
    assert "unknown" in text
    assert "$" not in text


def test_what_several_rehearsals_ask_nodes_is_rendered_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prepared, rendered = ready("method=semantic"), Counter[tuple[Message, ...]]()
    render = Prompts.messages

    def counted(self: Prompts, name: str, variables: Mapping[str, object]) -> tuple[Message, ...]:
        found = render(self, name, variables)
        rendered.update([found] if name.startswith("forward/") else [])
        return found

    monkeypatch.setattr(Prompts, "messages", counted)
    plan = make_plan(prepared, dict.fromkeys(prepared.calling.models))
    # More are counted, as each rehearsal asks again.
    assert plan.totals[-1].taken["forward"].calls > 100
    assert len(rendered) > 100
    assert rendered.total() < 1.1 * len(rendered)
