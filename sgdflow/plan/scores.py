"""What stands in for the scores of a run that is rehearsed: judges are asked, and not heard."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from sgdflow.data import Example
from sgdflow.executor.scores import NAMES, SCORE, Judge, ReadsPlainly, Verdict
from sgdflow.executor.took import Took
from sgdflow.executor.walk import together
from sgdflow.llm import LLM


@dataclass(frozen=True, slots=True)
class PretendedScore(ReadsPlainly):
    """Scores whatever comes later higher, and nothing 1; or all 0."""

    rises: bool
    asked: tuple[Judge, ...] = ()
    errors: Literal["stop", "zero"] = "stop"
    needs_target: bool = False
    given: list[None] = field(default_factory=list)

    async def __call__(
        self, example: Example, values: Mapping[str, Any], output: Any, llm: LLM, took: Took
    ) -> Verdict:
        """Ask the judges, and return the next score."""
        await together(
            judge.ask.send(llm, SCORE, judge.variables(example, values, output), NAMES)
            for judge in self.asked
        )
        self.given.append(None)
        return Verdict(1 - 1 / (len(self.given) + 1) if self.rises else 0.0)

    def judges(self) -> Sequence[Judge]:
        """Return those that are asked."""
        return self.asked

    def problems(self, inputs: Sequence[str], nodes: Sequence[str]) -> Iterator[str]:
        """Yield nothing."""
        return iter(())
