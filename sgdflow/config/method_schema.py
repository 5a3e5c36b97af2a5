"""What may stand under `method`; every field says what it is for."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from sgdflow.config.aggregation_schema import Aggregation
from sgdflow.config.fields import Conf, Count, Exchange, Reply, Target, Text, form_of
from sgdflow.config.stop_schema import StopConf
from sgdflow.config.update_schema import AnyUpdate, RewriteConf

AT_ONCE = 64
"""Calls that a wave of the gate makes at least: as many as hosted models are asked at once."""


class Verify(Exchange):
    """Trials of what gradients ask for: a value is written so, and what follows runs again."""

    prompt: Text = "backward/value.jinja"
    role: Text = "backward"
    reply: Reply = Reply(tag="value")
    examples: Count = 1
    """Failures of a step whose gradients are tried."""
    refuted: Literal["drop", "show"] = "drop"
    """What becomes of gradients that a trial speaks against."""


class Backward(Exchange):
    """A backward function that asks a model."""

    prompt: Text = "backward/joint.jinja"
    role: Text = "backward"
    reply: Reply = Reply(tag="gradient")
    calls: Literal["node", "edge"] = "node"
    """One call for all predecessors of a node, or one for each."""
    targets: Count | None = 32
    """How many predecessors one call is about at most, 32 others in short beside; null: all, and so
    prompts grow with the fan-in. With edge: from how many on the others are shown in short."""
    neighbors: bool = True
    """Whether a call for one predecessor shows the others."""
    of_parameters: bool = False
    """Whether there are also gradients of the node's own parameters."""
    local: bool = False
    """Whether a node says apart what its own instruction lacks, which is its evidence then."""
    verify: Verify | None = None
    """null: no gradient is tried out."""
    rules: bool = True
    """Whether a gradient that only repeats the feedback on the answer is asked for once more."""
    successes: Annotated[int, Field(ge=0)] = 0
    """Right work of the node that is shown beside a failure, the most alike first."""
    max_characters: Annotated[int, Field(ge=50)] | None = None
    """Of a gradient: a longer one is asked for again, never cut; null: any length."""


AnyBackward = Annotated[
    Annotated[Target, Tag("~callable")] | Annotated[Backward, Tag("~mapping")],
    Discriminator(form_of),
]


class Sampling(Conf):
    """Which examples a step learns from."""

    examples: Literal["failing", "random"] = "failing"
    """Those that are not right yet, or any."""
    count: Annotated[int, Field(ge=0)] = 2
    """0: none; for update rules that go by scores alone."""
    order: Literal["random", "waiting"] = "random"
    """waiting: those come first that were sampled least often."""
    draws: Count = 1
    """How often others are drawn, at most, where a sample teaches nothing."""


class Loss(Conf):
    """Feedback on an output, written by a template, or by a model that is shown it."""

    prompt: Text = "loss/expected.jinja"
    """Template below prompts/."""
    role: Text | None = None
    """Which of llm.models writes the feedback; null: no call, the template itself."""
    reply: Reply = Reply(tag="feedback")
    attempts: Count = 3
    """How often a malformed reply is asked for, in all."""


AnyLoss = Annotated[
    Annotated[Target, Tag("~callable")] | Annotated[Loss, Tag("~mapping")],
    Discriminator(form_of),
]


class GateConf(Conf):
    """The update gate."""

    rule: Literal["strict", "not_worse", "always", "paired"] = "strict"
    """What a proposal has to be: better, not worse, anything, shown to be better."""
    examples: Literal["batch", "validation", "sampled"] = "batch"
    """Which examples are scored for it; sampled: those learned from, and the guard."""
    tolerance: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """strict: the gain has to be larger; not_worse: the loss may be as large."""
    wave: Count | Literal["auto"] | None = "auto"
    """Examples scored at once, at least; auto: so many that up to 64 calls are under way, or
    llm.limits.concurrency where that is more; null: all, also where the proposal can no longer
    pass."""
    first: Literal["sampled"] | None = None
    """sampled: what repairs none of the sampled failures is turned down before."""
    guard: Annotated[int, Field(ge=0)] = 0
    """Examples known to be right that stand beside the sampled ones."""
    level: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """paired: how likely a run may be to accept anything that is not better."""
    repeats: Count = 1
    """Scorings of an example on either side; for models that answer at random."""

    def of(self, width: int, concurrency: int) -> dict[str, Any]:
        """Return what a gate is made of, for a graph with so many calls at once an example."""
        calls = max(AT_ONCE, concurrency)
        wave = math.ceil(calls / max(1, width)) if self.wave == "auto" else self.wave
        return {**self.model_dump(), "wave": wave}


class ConfirmConf(Conf):
    """The winner of a run against its start on the validation examples."""

    level: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """How likely a winner that is not better than the start may be confirmed."""
    required: bool = True
    """Whether validation examples that can confirm nothing are refused, or the run says so and goes
    without."""


class ProposalsConf(Conf):
    """How many proposals a step makes, and of which form."""

    parents: Count = 1
    """Candidates of the pool that a step starts from."""
    each: Count = 1
    """Proposals for each of them, from examples of their own; all of a step are made and scored at
    once."""
    form: Literal["joint", "single"] = "joint"
    """joint: all new texts together; single: each by itself, and together those that pass."""
    fallback: bool = False
    """Whether a joint proposal that is turned down is tried text by text."""


class PoolConf(Conf):
    """The candidates that are kept, and which of them a step starts from."""

    keep: Count = 1
    """How many."""
    choose: Literal["newest", "best", "pareto", "queue"] = "newest"
    """Which one: the latest, by mean, best on some example, or drawn by mean."""
    temperature: Annotated[float, Field(gt=0)] = 0.1
    """queue: how evenly candidates are drawn; means differ by 1 at most."""
    merge: bool = False
    """Whether changes of different parameters in two candidates are tried together; those first
    whose nodes do not lie on a way of one another."""


class OneMethod(Conf):
    """Everything a step does."""

    name: Text
    """What the method is called in records and comparisons."""
    words: Text = "full"
    """Which set of templates: those below prompts/NAME/ hide others; short is for weak writers."""
    batch: Count | None = None
    """Training examples that a step scores; null: all."""
    sample: Sampling = Sampling()
    lazy: bool = False
    """Score training examples only as far as a step needs them."""
    report_train: bool = False
    """Whether a lazy method scores all of them at the end, for the report."""
    idle: bool = True
    """Whether calls are made that no feedback asks for: backward, and rewrites."""
    proposals: ProposalsConf = ProposalsConf()
    pool: PoolConf = PoolConf()
    loss: AnyLoss = Loss()
    backward: AnyBackward | None = Backward()
    """null: no backward pass."""
    aggregation: Aggregation = Aggregation()
    shuffle: bool | Literal["nodes"] = False
    """Deal the gradients of each node to the wrong examples, or nodes: to other parameters."""
    update: AnyUpdate = RewriteConf()
    gate: GateConf = GateConf()
    confirm: ConfirmConf | None = None
    """null: what was found is returned as it is."""
    stop: StopConf = StopConf()


class LegConf(Conf):
    """A method that takes some of the steps."""

    method: OneMethod
    share: Annotated[float, Field(gt=0, le=1)]
    """Of method.stop.budget; what one leg leaves, the next may use."""


class MethodConf(OneMethod):
    """A method, or several one after the other."""

    sequence: dict[str, LegConf] = Field(default_factory=dict)
    """By name, in order; none: this method takes all steps."""
