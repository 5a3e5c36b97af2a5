"""What a step learns from: drawn examples, whose feedback goes backward and becomes evidence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

from sgdflow.data import Example
from sgdflow.descent.method import Method, Problem
from sgdflow.errors import NodeFailed
from sgdflow.executor.backward import backward_pass
from sgdflow.executor.evaluation import Evaluator
from sgdflow.executor.graph import Parameters
from sgdflow.executor.intervention import testable
from sgdflow.executor.loss import unread
from sgdflow.executor.outcomes import Evaluation
from sgdflow.executor.progress import Progress, counted
from sgdflow.executor.successes import Right
from sgdflow.executor.walk import together
from sgdflow.llm import LLM
from sgdflow.update import Evidence, Learned, Past, gather_evidence, shuffled
from sgdflow.update.demonstrations import texts
from sgdflow.update.evidence import dealt_across_nodes, weighed
from sgdflow.update.paired import fixed_order

_AT_ONCE = 8
"""Examples that are scored at once to look for failures."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """What the sampled examples taught."""

    batch: tuple[Example, ...]
    """The training examples that the step goes by."""
    current: Evaluation
    """Of the batch."""
    learned: tuple[Learned, ...]
    evidence: Evidence
    known: tuple[str, ...] = ()
    """Parameters that are not asked for again: an earlier step had the same evidence."""

    def only(self, evidence: Evidence) -> Lesson:
        """Return what some of the evidence teaches, and its examples alone."""
        shown = {
            one.example
            for items in evidence.values()
            for item in items
            for one in (item, *item.behind)
        }
        learned = tuple(one for one in self.learned if one.forward.example in shown)
        return replace(self, learned=learned, evidence=evidence)


@dataclass(frozen=True, slots=True)
class Teacher:
    """Finds out what a step can learn from."""

    problem: Problem
    method: Method
    llm: LLM
    evaluate: Evaluator
    progress: Progress

    async def lesson(
        self,
        parameters: Parameters,
        names: Collection[str],
        history: Sequence[Past],
        random: Random,
        ahead: int = 0,
    ) -> Lesson:
        """Draw examples until some of them teach something, or as often as the method allows.

        `ahead` lessons on the same parameters are given at the same time: where examples wait
        for their turn, those come first that none of them takes.
        """
        sample, learned = self.method.sample, list[Learned]()
        before = self.problem.graph.learning_before(names)
        waited = Counter(example for past in history for example in past.sampled)
        drawn, known = set[str](), dict[str, None]()
        # Failures that these parameters were sampled for before wait, while others can be found.
        stale = {i for past in history if past.parameters == parameters for i in past.sampled}
        fixed = self._batch(random)
        for _ in range(ahead if sample.order == "waiting" else 0):
            theirs = await self._drawn(parameters, fixed, random, waited, stale)
            waited.update(theirs)
            stale |= set(theirs)
        while True:
            wanted = sample.count + len(drawn | stale)
            batch, current = await self._scored(parameters, fixed, wanted)
            chosen = set(sample.draw(current, random, waited, drawn, stale))
            done = self.progress.expect("learning", len(chosen))
            right = Right.of(current, self.method.differentiation)
            now = await together(
                counted(self._learn(example, current, parameters, names, right), done)
                for example in batch
                if example.id in chosen
            )
            earlier = sum(bool(one.interventions) for one in learned)
            now = await self._tried_out(now, current, batch, parameters, earlier)
            learned += now
            drawn |= chosen
            found = self._evidence(now, names, random)
            evidence = self._asking(self._selected(found, random, before))
            known |= dict.fromkeys(in_vain := [*self._known(evidence, parameters, history)])
            evidence = {name: items for name, items in evidence.items() if name not in in_vain}
            if evidence or not chosen or len(drawn) >= sample.count * sample.draws:
                return Lesson(batch, current, tuple(learned), evidence, tuple(known))

    async def _drawn(
        self,
        parameters: Parameters,
        batch: tuple[Example, ...],
        random: Random,
        waited: Mapping[str, int],
        stale: Collection[str],
    ) -> tuple[str, ...]:
        """Return the examples that a lesson would begin with."""
        sample = self.method.sample
        _, current = await self._scored(parameters, batch, sample.count + len(stale))
        return sample.draw(current, random, waited, (), stale)

    def silent(self, learned: Sequence[Learned], names: Collection[str]) -> bool:
        """Return whether all of it was differentiated, and no gradient asked for a change."""
        heard = all(
            one.backward is not None and not one.backward.failures and one.failure is None
            for one in learned
        )
        found = self._evidence(learned, names, Random(0)) if learned and heard else {}
        asking = self.method.select.asking
        return bool(found) and not any(asking(item) for items in found.values() for item in items)

    async def scored(
        self, parameters: Parameters, random: Random
    ) -> tuple[tuple[Example, ...], Evaluation]:
        """Return the batch of a step that learns nothing, scored."""
        return await self._scored(parameters, self._batch(random), 1)

    async def _scored(
        self, parameters: Parameters, batch: tuple[Example, ...], failures: int
    ) -> tuple[tuple[Example, ...], Evaluation]:
        """Return the batch, scored; a lazy method stops where it knows enough failures."""
        if not self.method.lazy or self.method.sample.examples == "random":
            return batch, await self.evaluate(parameters, batch)
        order = {i: place for place, i in enumerate(fixed_order([one.id for one in batch]))}
        waiting = sorted(batch, key=lambda one: order[one.id])
        known = self.evaluate.some(parameters, batch)
        while sum(score < 1 for score in known.scores.values()) < failures:
            new = [one for one in waiting if one.id not in known.outcomes][:_AT_ONCE]
            if not new:
                break
            await self.evaluate(parameters, new)
            known = self.evaluate.some(parameters, batch)
        return tuple(one for one in batch if one.id in known.outcomes), known

    def _batch(self, random: Random) -> tuple[Example, ...]:
        train, size = self.problem.splits.train, self.method.batch
        if size is None or size >= len(train):
            return train
        chosen = set(random.sample(range(len(train)), size))
        return tuple(example for i, example in enumerate(train) if i in chosen)

    async def _learn(
        self,
        example: Example,
        current: Evaluation,
        parameters: Parameters,
        names: Collection[str],
        right: Right | None,
    ) -> Learned:
        graph, how = self.problem.graph, self.method.differentiation
        outcome = current.outcomes[example.id]
        assert outcome.score is not None  # only scored examples are sampled
        passed = outcome.passed
        unanswered = passed.failures.get(graph.output)
        learned = Learned(passed, outcome.score, unanswered=unanswered, calls=outcome.calls)
        output = passed.produced(passed.end(graph.output))
        reading = (
            unread(unanswered, graph.output)
            if unanswered
            else replace(
                self.problem.score.reading(output, example.target), feedback=outcome.feedback
            )
        )
        try:
            feedback = await self.method.loss.feedback(
                example, output, outcome.score, self.llm, reading
            )
        except NodeFailed as error:
            calls = (*outcome.calls, *error.calls)
            return replace(learned, failure=f"loss: {error}", calls=calls)
        calls = (*outcome.calls, *feedback.calls)
        learned = replace(learned, feedback=feedback.value, calls=calls)
        if how is None:
            return learned
        backward = await backward_pass(
            graph, parameters, outcome.passed, feedback.value, names, how, self.llm, right
        )
        return replace(learned, backward=backward)

    async def _tried_out(
        self,
        learned: Sequence[Learned],
        current: Evaluation,
        batch: Sequence[Example],
        parameters: Parameters,
        earlier: int,
    ) -> tuple[Learned, ...]:
        """Try out what gradients ask for, on the first examples of a step where they do."""
        verification, examples = self.method.verification, {one.id: one for one in batch}
        if verification is None:
            return tuple(learned)
        graph, asks = self.problem.graph, self.method.select.asks

        def asked(one: Learned) -> bool:
            outcome = current.outcomes[one.forward.example]
            return bool(one.backward and testable(graph, outcome, one.backward, asks))

        async def tried(one: Learned) -> Learned:
            assert one.backward is not None
            name = one.forward.example
            found = await verification.verify(
                graph,
                parameters,
                examples[name],
                current.outcomes[name],
                one.backward,
                asks,
                self.evaluate,
                self.llm,
            )
            return replace(one, interventions=found)

        trials = [one for one in learned if asked(one)][: verification.examples - earlier]
        made = {one.forward.example: one for one in await together(map(tried, trials))}
        return tuple(made.get(one.forward.example, one) for one in learned)

    def _selected(
        self, found: Evidence, random: Random, before: Mapping[str, Collection[str]]
    ) -> Evidence:
        """Leave out the texts that are not rewritten; demonstrations are no texts."""
        written = texts(self.problem.graph, found)
        texts_of = {name: items for name, items in found.items() if name in written}
        kept = self.method.select.after(texts_of, random, before)
        return {n: items for n, items in found.items() if n in kept or n not in written}

    def _evidence(
        self, learned: Sequence[Learned], names: Collection[str], random: Random
    ) -> Evidence:
        method = self.method
        backward = {one.forward.example: one.backward for one in learned if one.backward}
        evidence = gather_evidence(
            self.problem.graph,
            [one.forward for one in learned],
            None if method.differentiation is None else backward,
            names,
            method.aggregate_examples,
        )
        if method.verification is not None:
            tried = [trial for one in learned for trial in one.interventions]
            declared = method.verification.refuted
            evidence = weighed(evidence, tried, declared, method.select.asks)
        if method.shuffle == "nodes":
            return dealt_across_nodes(evidence, random)
        return shuffled(evidence, random) if method.shuffle else evidence

    def _known(
        self, evidence: Evidence, parameters: Parameters, history: Sequence[Past]
    ) -> Iterator[str]:
        """Yield the parameters that were written anew from this evidence before, in vain.

        A writer that is shown its last tries may try so many times more.
        """
        tries = 1 + (getattr(self.method.update, "memory", 0) or 0)
        for name, items in () if self.method.idle else evidence.items():
            vain = sum(
                past.evidence.get(name) == items
                and past.parameters[name] == parameters[name]
                and name not in past.proposal.skipped
                for past in history
            )
            if vain >= tries:
                yield name

    def _asking(self, evidence: Evidence) -> Evidence:
        """Leave out the parameters that no gradient asks to change, unless idle calls are made."""
        if self.method.idle or self.method.differentiation is None:
            return evidence
        asking = self.method.select.asking
        return {name: items for name, items in evidence.items() if any(map(asking, items))}
