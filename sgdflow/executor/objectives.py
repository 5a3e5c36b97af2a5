"""Several scores at once: of the whole output or of its fields, joined by weight."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import fsum
from typing import Any, ClassVar, Literal

from sgdflow.data import Example
from sgdflow.errors import NodeFailed, ScoringFailed
from sgdflow.executor.loss import Reading
from sgdflow.executor.scores import Errors, Judge, ReadsPlainly, Scorer, Verdict
from sgdflow.executor.took import Took
from sgdflow.executor.walk import together
from sgdflow.llm import LLM

_UNITS: Mapping[str, str] = {"cost": "${:.3g}", "latency": "{:.3g} s"}
_UNKNOWN: Mapping[str, str] = {
    "cost": "nobody knows the price of one of its calls; declare it (llm.prices)",
    "latency": "it has a stored reply of which no time was noted; ask anew "
    "(llm.store.mode=refresh)",
}


@dataclass(frozen=True, slots=True)
class Objective:
    """One of several scores, and how much it counts."""

    scorer: Scorer
    weight: float = 1.0
    field: str | None = None
    """Which field of the output is scored, against that of the target; None: the whole."""

    async def __call__(
        self, example: Example, values: Mapping[str, Any], output: Any, llm: LLM, took: Took
    ) -> Verdict:
        """Return the verdict on the output, or on its field; one that is absent is no answer."""
        output, target = self._of(output), self._of(example.target)
        return await self.scorer(replace(example, target=target), values, output, llm, took)

    def reading(self, output: Any, target: Any) -> Reading:
        """Return what the output, or its field, is taken for."""
        return self.scorer.reading(self._of(output), self._of(target))

    def _of(self, value: Any) -> Any:
        if self.field is None:
            return value
        return value.get(self.field) if isinstance(value, Mapping) else None


@dataclass(frozen=True, slots=True)
class Thrift(ReadsPlainly):
    """Scores what an example took: 1 up to one bound, 0 from another on, in proportion between."""

    what: Literal["cost", "latency"]
    enough: float
    too_much: float
    errors: Errors = "stop"
    needs_target: ClassVar[bool] = False

    async def __call__(
        self, example: Example, values: Mapping[str, Any], output: Any, llm: LLM, took: Took
    ) -> Verdict:
        """Return where between the bounds it lies; raises ScoringFailed where that is not known."""
        found = took.cost if self.what == "cost" else took.seconds
        if found is None:
            raise ScoringFailed(_UNKNOWN[self.what])
        share = (self.too_much - found) / (self.too_much - self.enough)
        if share >= 1:
            return Verdict(1.0)
        unit = _UNITS[self.what]
        said = f"It took {unit.format(found)}; {unit.format(self.enough)} would be enough."
        return Verdict(max(0.0, share), said)

    def judges(self) -> Sequence[Judge]:
        """Return nobody."""
        return ()

    def problems(self, inputs: Sequence[str], nodes: Sequence[str]) -> Iterator[str]:
        """Yield nothing."""
        return iter(())


@dataclass(frozen=True, slots=True)
class Weighted:
    """Several scorers, whose weighted mean is the score; each says in the feedback how it came."""

    parts: Mapping[str, Objective]
    errors: Errors = "stop"

    @property
    def needs_target(self) -> bool:
        """Return whether one of them does."""
        return any(one.scorer.needs_target for one in self.parts.values())

    async def __call__(
        self, example: Example, values: Mapping[str, Any], output: Any, llm: LLM, took: Took
    ) -> Verdict:
        """Return the weighted mean, with what each of them says."""
        verdicts = await together(
            self._part(name, example, values, output, llm, took) for name in self.parts
        )
        weights = [one.weight for one in self.parts.values()]
        total = fsum(w * said.score for w, said in zip(weights, verdicts, strict=True))
        told = [
            f"{name} scores {said.score:.3g} of 1{self._read(name, said, output, example.target)}"
            + (f": {said.feedback}" if said.feedback else "")
            for name, said in zip(self.parts, verdicts, strict=True)
        ]
        calls = tuple(call for said in verdicts for call in said.calls)
        return Verdict(min(1.0, total / fsum(weights)), "\n".join(told), calls)

    async def _part(
        self,
        name: str,
        example: Example,
        values: Mapping[str, Any],
        output: Any,
        llm: LLM,
        took: Took,
    ) -> Verdict:
        try:
            return await self.parts[name](example, values, output, llm, took)
        except NodeFailed as error:
            kinds = error.kind, error.behind
            raise NodeFailed(f"{name}: {error}", error.calls, *kinds) from error
        except ScoringFailed as error:
            raise ScoringFailed(f"{name}: {error}") from error

    def _read(self, name: str, said: Verdict, output: Any, target: Any) -> str:
        """Say how a part read an output that lacks something, where `reading` does not."""
        part = self.parts[name]
        if part is self._whole or said.score >= 1:
            return ""
        found = part.reading(output, target)
        read = f"read as: {found.read_as or 'nothing'}"
        return "" if found.plain else f" ({read}; compared as {found.compared_as}: {found.taken})"

    @property
    def _whole(self) -> Objective | None:
        """Return the one part that compares the whole output with the target; None: not one."""
        found = [o for o in self.parts.values() if o.field is None and o.scorer.needs_target]
        return found[0] if len(found) == 1 else None

    @property
    def _reader(self) -> Scorer | ReadsPlainly:
        return ReadsPlainly() if (one := self._whole) is None else one.scorer

    def reading(self, output: Any, target: Any) -> Reading:
        """Return what that part takes an output for."""
        return self._reader.reading(output, target)

    def read_as(self, output: Any, target: Any) -> str | None:
        """Return what that part takes for the answer; the output itself where there is none."""
        return self._reader.read_as(output, target)

    def expected_as(self, target: Any) -> str:
        """Return the answer that a target asks for."""
        return self._reader.expected_as(target)

    def judges(self) -> Sequence[Judge]:
        """Return those of all parts."""
        return tuple(judge for one in self.parts.values() for judge in one.scorer.judges())

    def problems(self, inputs: Sequence[str], nodes: Sequence[str]) -> Iterator[str]:
        """Yield what would go wrong with one of them."""
        for name, one in self.parts.items():
            yield from (f"{name}: {told}" for told in one.scorer.problems(inputs, nodes))
