"""OptoPrime's way: the whole executed graph in one prompt, one reply for all parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sgdflow.errors import NodeFailed
from sgdflow.executor.gradients import LOSS, Gradient
from sgdflow.executor.graph import Graph, Node, Parameters
from sgdflow.executor.places import View
from sgdflow.executor.reasons import reasoning
from sgdflow.executor.tree import Joined, Summary, Tree
from sgdflow.llm import LLM
from sgdflow.prompting.ask import Answered, Ask
from sgdflow.prompting.dressing import unfenced_like
from sgdflow.prompting.replies import check_length
from sgdflow.prompting.values import shown
from sgdflow.update.checks import Check, no_check
from sgdflow.update.constraints import check_new, told
from sgdflow.update.evidence import Item, Learned
from sgdflow.update.prompt_views import not_texts, score_words, verdict_words
from sgdflow.update.rule import Past, Proposal, Situation, StepCalls
from sgdflow.update.standing import Frame, Standing, about, standing, ways
from sgdflow.update.too_long import whole_or_summed_up


@dataclass(frozen=True, slots=True)
class Line:
    """A node of the executed graph, as templates see it."""

    name: str
    predecessors: tuple[str, ...]
    parameters: tuple[str, ...]
    """By their names in the graph."""
    code: str
    """Name of the function that computes it; empty where a model does."""
    when: str = ""
    """In which case it runs; empty: in all."""


@dataclass(frozen=True, slots=True)
class Try:
    """Earlier changes, as templates see them."""

    changes: Mapping[str, str]
    score: float | None
    accepted: bool
    most: float | None = None
    """The highest score that they could have had, where they were not scored to the end."""
    reason: str = ""
    """What the gate said."""

    @property
    def scored(self) -> str:
        """Return the score in words: "0.45", or "at most 0.45"."""
        return score_words(self.score, self.most)

    @property
    def verdict(self) -> str:
        """Return what became of them, as the gate said it."""
        return verdict_words(self.accepted, self.reason or f"score {self.scored}")


@dataclass(frozen=True, slots=True)
class Whole:
    """One call a step; the reply names the parameters that it changes."""

    ask: Ask
    max_characters: int | None = None
    memory: int = 0
    """How many of the latest tries are shown, with what the gate said of them."""
    check: Check = no_check
    """Raises ReplyError for a text that is no use."""
    overflow: Tree | None = None
    """What sums up runs that do not fit the writer's context window; None: nothing does."""

    async def propose(self, situation: Situation, llm: LLM) -> Proposal:
        """Return the texts that the reply changes."""
        learned = [one for one in situation.learned if one.failure is None]
        if not learned:
            return Proposal({})
        names = list(situation.optimised)
        variables = {
            **self._program(situation.graph, situation.parameters, names),
            "tries": _tries(situation.history, self.memory),
            "frames": ways(situation),
            "about": about(situation),
            "standing": standing(situation),
            "others": [],
        }

        async def ask(runs: Sequence[Learned], summary: Summary | None) -> Answered:
            return await self.ask.send(
                llm,
                "graph",
                {**variables, "examples": _shown(situation.graph, runs, summary)},
                names,
                accept=partial(self._accept, situation, _work(learned)),
                sample=situation.sample,
            )

        async def sum_up(runs: Sequence[Learned]) -> Joined:
            assert self.overflow is not None

            def shown(group: Sequence[Learned]) -> Mapping[str, Any]:
                return {**variables, "examples": _shown(situation.graph, group)}

            return await self.overflow.join(runs, shown, "graph", llm, situation.sample)

        try:
            answered, summary, before = await whole_or_summed_up(
                ask, learned, None if self.overflow is None else sum_up
            )
        except NodeFailed as error:
            return Proposal({}, dict.fromkeys(names, str(error)), {"graph": error.calls})
        current = situation.parameters
        texts = {n: unfenced_like(text, current[n]) for n, text in answered.texts.items()}
        changes = {n: text for n, text in texts.items() if text != current[n].strip()}
        summaries = {} if summary is None else dict.fromkeys(changes, summary)
        calls = {"graph": (*before, answered.call)}
        return Proposal(changes, calls=calls, summaries=summaries)

    def problems(self, graph: Graph, optimised: Sequence[str]) -> Iterator[str]:
        """Yield what is wrong with the template, or with parameters that are no texts."""
        names = graph.optimisable
        values = shown(dict.fromkeys((*graph.inputs, *graph.nodes), "..."))
        example = _run(values, "...", [Gradient(LOSS, "...")])
        sample = {
            **self._program(graph, graph.initial(), names),
            "examples": [example],
            "tries": [
                Try(dict.fromkeys(names[:1], "..."), 0.5, accepted=False),
                Try(dict.fromkeys(names[:1], "..."), None, accepted=False, most=0.5),
            ],
            "frames": [Frame("node", "...")],
            "about": "...",
            "standing": Standing(0.5, 2, "...", "...", "..."),
            "others": [],
        }
        yield from self.ask.problems(sample, "the update rule", names)
        if self.overflow is not None:
            yield from self.overflow.problems(sample, "the summary of runs")
        yield from not_texts(graph, optimised)

    @property
    def goes_by_scores(self) -> bool:
        """Return False: of a text that was not scored to the end a bound is shown."""
        return False

    def calls(self, parameters: int) -> StepCalls:
        """Return what one step needs at most."""
        return StepCalls(optimizer=1)

    def _program(
        self, graph: Graph, parameters: Parameters, names: Sequence[str]
    ) -> Mapping[str, Any]:
        return {
            "graph": [_line(graph.nodes[name]) for name in graph.order],
            "inputs": list(graph.inputs),
            "output": graph.output,
            "parameters": {name: parameters[name] for name in names},
            "fixed": {n: v for n, v in parameters.items() if n not in names},
            "members": _members(graph, parameters),
            "rules": {
                name: rules for name in names if (rules := told(graph.parameters[name].constraints))
            },
            "max_characters": self.max_characters,
        }

    def _accept(self, situation: Situation, work: Sequence[Item], texts: Mapping[str, str]) -> None:
        for name, text in texts.items():
            check_length(text, self.max_characters)
            check_new(name, text, situation)
            self.check(text, str(situation.parameters[name]), work)


def _line(node: Node) -> Line:
    own = tuple(node.parameters.values())
    when = node.when.described if node.when else ""
    return Line(node.name, node.predecessors, own, node.forward.code, when)


def _members(graph: Graph, parameters: Parameters) -> Sequence[View]:
    return [graph.view(name, parameters) for name in graph.order]


def _executed(graph: Graph, one: Learned) -> Mapping[str, Any]:
    """Return one example's values and how nodes came to them, its output and the feedback on it."""
    passed, end = one.forward, one.forward.end(graph.output)
    values: dict[str, Any] = {}
    for name, value in passed.values.items():
        if name == graph.output:
            continue
        if name in graph.nodes and (why := reasoning(graph, passed, name)):
            values[f"how {name} was found"] = why
        values[name] = value
    output, own = passed.produced(end), reasoning(graph, passed, end)
    return _run(shown(values), output, [Gradient(LOSS, one.feedback)], reasoning=own)


def _run(
    values: Any,
    output: Any,
    gradients: Sequence[Gradient],
    summary: Summary | None = None,
    reasoning: str = "",
) -> Mapping[str, Any]:
    return {
        "predecessors": values,
        "reasoning": reasoning,
        "number": 0,
        "verdict": "",
        "summary": summary,
        "output": output,
        "gradients": gradients,
    }


def _shown(
    graph: Graph, runs: Sequence[Learned], summary: Summary | None = None
) -> Sequence[Mapping[str, Any]]:
    """Return runs, or what stands for all of them, as templates see them."""
    return [_run([], "", [], summary)] if summary else [_executed(graph, one) for one in runs]


def _work(learned: Sequence[Learned]) -> Sequence[Item]:
    """Return what texts may not be copied from: all values that are shown."""
    return [Item(one.forward.example, "", dict(one.forward.values), "", ()) for one in learned]


def _tries(history: Sequence[Past], count: int) -> Sequence[Try]:
    found = [
        Try(
            past.proposal.changes,
            past.after,
            past.decision.accepted,
            past.most if past.after is None else None,
            past.decision.reason,
        )
        for past in history
        if past.proposal.changes
    ]
    return found[max(0, len(found) - count) :]
