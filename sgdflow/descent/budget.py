"""The declared budget of a run: what counts, and when it is used up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from sgdflow.executor.forward import forward_roles
from sgdflow.executor.graph import Graph
from sgdflow.llm import LLM, Spent
from sgdflow.llm.allowance import Allowance


@dataclass(frozen=True, slots=True)
class Budget:
    """How much a run may use; None: any amount. Whichever is reached first ends the run."""

    forward: int | None = None
    """Calls of the roles that the graph's nodes name."""
    calls: int | None = None
    tokens: int | None = None
    cost: float | None = None
    """US dollars."""
    roles: Mapping[str, Allowance] = field(default_factory=dict)
    """What a role may use."""

    def share(self, part: float) -> Budget:
        """Return a part of it, whole numbers rounded down."""
        if part >= 1:
            return self

        def of(most: int | None) -> int | None:
            return None if most is None else int(most * part + 1e-9)

        def allowed(one: Allowance) -> Allowance:
            cost = None if one.cost is None else one.cost * part
            return Allowance(of(one.calls), of(one.tokens), cost)

        whole = allowed(Allowance(self.calls, self.tokens, self.cost))
        roles = {role: allowed(one) for role, one in self.roles.items()}
        return Budget(of(self.forward), whole.calls, whole.tokens, whole.cost, roles)

    def reached(self, forward: int, spent: Mapping[str, Spent]) -> str:
        """Return why the run has to end; an empty string while it may go on."""
        if self.forward is not None and forward >= self.forward:
            return f"budget: {forward} forward calls of {self.forward}"
        whole = Allowance(self.calls, self.tokens, self.cost)
        if used_up := whole.used_up(sum(spent.values(), Spent())):
            return f"budget: {used_up}"
        for role, allowed in self.roles.items():
            if used_up := allowed.used_up(spent.get(role, Spent())):
                return f"budget: {used_up} for the role {role}"
        return ""


class Meter:
    """Counts what a run has used, apart from scoring that is only reported."""

    def __init__(self, llm: LLM, graph: Graph) -> None:
        self._llm = llm
        self._forward = frozenset(forward_roles(graph).values())
        self._reported: dict[str, Spent] = {}
        self._gating, self._before = 0, 0
        self.gate_calls = 0
        """Forward calls for scores of proposals."""

    @contextmanager
    def reporting(self) -> Iterator[None]:
        """Leave out what is used inside."""
        before = self._llm.spent()
        yield
        for role, after in self._llm.spent().items():
            used = after - before.get(role, Spent())
            self._reported[role] = self._reported.get(role, Spent()) + used

    @contextmanager
    def gating(self) -> Iterator[None]:
        """Count the forward calls made inside as calls for scores of proposals."""
        if not self._gating:
            self._before = self._forward_calls()
        self._gating += 1  # an update rule may score several at once
        try:
            yield
        finally:
            self._gating -= 1
            if not self._gating:
                self.gate_calls += self._forward_calls() - self._before

    def _forward_calls(self) -> int:
        return sum(used.calls for role, used in self._llm.spent().items() if role in self._forward)

    def reached(self, budget: Budget) -> str:
        """Return why the run has to end; an empty string while it may go on."""
        spent = {
            role: all_of_it - self._reported.get(role, Spent())
            for role, all_of_it in self._llm.spent().items()
        }
        forward = sum(used.calls for role, used in spent.items() if role in self._forward)
        return budget.reached(forward, spent)
