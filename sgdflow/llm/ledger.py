"""Adds up what calls took: the requests of a run, and what one process really sent."""

from __future__ import annotations

import marshal
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import chain
from math import ceil, inf
from time import localtime, strftime

from sgdflow.errors import listed, plural
from sgdflow.llm import Spent, Usage

_SOURCES = 3
_NONE = Usage()


class Ledger:
    """Calls, tokens and cost by role; exact, so that the order of calls makes no difference."""

    def __init__(self, roles: Iterable[str]) -> None:
        self._sums = {role: Spent(cost=None) for role in roles}
        self._costs: dict[str, Fraction | None] = {role: Fraction() for role in self._sums}

    def open(self, role: str) -> None:
        """Have a sum for a role that may have none."""
        if role not in self._sums:
            self._sums[role], self._costs[role] = Spent(cost=None), Fraction()

    def add(self, role: str, spent: Spent) -> None:
        """Add what a call took; an unknown cost makes the sum unknown."""
        self._sums[role] += spent
        sofar = self._costs[role]
        if spent.cost is None:
            self._costs[role] = None
        elif spent.cost and sofar is not None:
            self._costs[role] = sofar + Fraction(spent.cost)

    def clear(self) -> None:
        """Begin anew."""
        self._sums = {role: Spent(cost=None) for role in self._sums}
        self._costs = {role: Fraction() for role in self._sums}

    def spent(self) -> Mapping[str, Spent]:
        """Return the sums by role."""
        return {role: self._sum(role) for role in self._sums}

    def total(self) -> Spent:
        """Return the sum over all roles."""
        if len(self._sums) == 1:  # as that of each call has
            return self._sum(*self._sums)
        whole = Ledger(["all"])
        for spent in self.spent().values():
            whole.add("all", spent)
        return whole.spent()["all"]

    def _sum(self, role: str) -> Spent:
        cost = self._costs[role]
        return replace(self._sums[role], cost=None if cost is None else float(cost))


@dataclass(slots=True)
class Bill:
    """What a request took, and who made it."""

    role: str
    node: str
    took: list[Spent] = field(default_factory=list)

    def packed(self) -> bytes | Bill:
        """Return the bill as it is kept: that of one call and nothing else, as most are, packed."""
        if len(self.took) != 1 or self.took[0].faults or self.took[0].again != _NONE:
            return self
        [took] = self.took
        used = took.usage.prompt, took.usage.completion, took.usage.cached
        return marshal.dumps((self.role, self.node, took.calls, *used, took.cost))

    @classmethod
    def of(cls, kept: bytes | Bill) -> Bill:
        """Return a bill that was kept."""
        if isinstance(kept, Bill):
            return kept
        role, node, calls, *used, cost = marshal.loads(kept)
        return cls(role, node, [Spent(calls, Usage(*used), cost)])


class Accounts:
    """What requests took, by role and by node, whatever the order in which they were made."""

    def __init__(self, roles: Iterable[str]) -> None:
        self._by_role = Ledger(roles)
        self._bills: dict[str, bytes | Bill] = {}

    def asked(self, key: str, role: str, node: str) -> None:
        """See a request, each time that somebody makes it."""
        bill = Bill.of(self._bills.setdefault(key, Bill(role, node)))
        # Who of several comes first depends on the clock, who of them all has which name does not.
        if bill.role == role and node < bill.node:
            bill.node = node
            self._bills[key] = bill.packed()

    def add(self, key: str, role: str, node: str, spent: Spent) -> None:
        """Add what the request took, or one more attempt at it."""
        bill = Bill.of(self._bills.get(key) or Bill(role, node))
        bill.took.append(spent)
        self._bills[key] = bill.packed()
        self._by_role.add(bill.role, spent)

    def drained(self) -> Mapping[str, Bill]:
        """Return all bills, and begin anew."""
        bills, self._bills = self._bills, {}
        self._by_role.clear()
        return {key: Bill.of(kept) for key, kept in bills.items()}

    def take(self, bills: Mapping[str, Bill]) -> None:
        """Add the bills of others; what two have paid for or found is one request's."""
        for key, bill in bills.items():
            self.asked(key, bill.role, bill.node)
            if not Bill.of(self._bills[key]).took:
                for spent in bill.took:
                    self.add(key, bill.role, bill.node, spent)

    def forget(self) -> None:
        """Keep the sums alone: who asks one of these requests again counts as another asker."""
        open_bills = {key: kept for key, kept in self._bills.items() if not Bill.of(kept).took}
        settled: dict[str, bytes | Bill] = {
            f"{role} {node}": Bill(role, node, [spent])
            for role, nodes in self.by_node().items()
            for node, spent in nodes.items()
            if spent != Spent()
        }
        self._bills = settled | open_bills

    def spent(self) -> Mapping[str, Spent]:
        """Return the sums by role."""
        return self._by_role.spent()

    def total(self) -> Spent:
        """Return the sum over all roles."""
        return self._by_role.total()

    def by_node(self) -> Mapping[str, Mapping[str, Spent]]:
        """Return the sums by role and node, the nodes by name."""
        sums: dict[str, Ledger] = {}
        for kept in self._bills.values():
            bill = Bill.of(kept)
            ledger = sums.setdefault(bill.role, Ledger(()))
            ledger.open(bill.node)
            for took in bill.took:
                ledger.add(bill.node, took)
        found = {role: sums[role].spent() if role in sums else {} for role in self._by_role.spent()}
        return {role: dict(sorted(nodes.items())) for role, nodes in found.items()}


@dataclass(frozen=True, slots=True)
class Calls:
    """What was really sent, and found in the store instead."""

    sent: Mapping[str, Spent]
    stored: Mapping[str, Sequence[float]]
    latencies: Mapping[str, Sequence[float]]


class Session:
    """Counts calls really made; nothing in it is part of a run's result."""

    def __init__(self, roles: Iterable[str]) -> None:
        self._roles = tuple(roles)
        self._begin()

    def _begin(self) -> None:
        self.sent = Ledger(self._roles)
        self._stored: dict[str, list[float]] = {}
        self._latencies = {role: array("d") for role in self._roles}

    def drained(self) -> Calls:
        """Return what was counted, and begin anew."""
        calls = Calls(self.sent.spent(), self._stored, self._latencies)
        self._begin()
        return calls

    def take(self, calls: Calls) -> None:
        """Add what another one has counted."""
        for role, spent in calls.sent.items():
            if spent.calls:
                self.sent.add(role, spent)
            self._latencies[role].extend(calls.latencies[role])
        for place, times in calls.stored.items():
            here = self._stored.setdefault(place, [0.0, inf, 0.0])
            number, first, last = times
            here[:] = here[0] + number, min(here[1], first), max(here[2], last)

    @property
    def latencies(self) -> Mapping[str, Sequence[float]]:
        """Seconds of each answered call, by role, in the order of the answers."""
        return self._latencies

    def answered(self, role: str, seconds: float) -> None:
        """See how long an answered call took, waiting in line aside."""
        self._latencies[role].append(seconds)

    def found(self, place: str, time: float) -> None:
        """See a reply that the store had: from where, and when it was answered."""
        times = self._stored.setdefault(place, [0.0, inf, 0.0])
        times[:] = times[0] + 1, min(times[1], time), max(times[2], time)

    def words(self) -> str:
        """Say it in a line."""
        sent, took = self.sent.total(), list(chain.from_iterable(self._latencies.values()))
        cost = "cost unknown" if sent.cost is None else f"${sent.cost:.4g}"
        if sent.calls and not took:
            cost = "none answered"
        stored = int(sum(times[0] for times in self._stored.values()))
        found = f"{plural(stored, 'reply')} from the store"
        words = f"{plural(sent.calls, 'call')} ({cost}), {found}"
        if self._stored:
            words += f" ({'; '.join(self._sources())})"
        if took:
            half, most = percentile(took, 50), percentile(took, 95)
            words += f"; half of them within {half:.2g} s, 95 % within {most:.2g} s"
        if sent.faults:
            words += f"; faults: {listed(f'{n} {kind}' for kind, n in sent.faults.items())}"
        return words

    def _sources(self) -> Iterator[str]:
        """Yield where stored replies came from, and when."""
        by_number = sorted(self._stored.items(), key=lambda item: -item[1][0])
        for place, (number, first, last) in by_number[:_SOURCES]:
            days = [strftime("%Y-%m-%d", localtime(when)) for when in (first, last)]
            many = f"{int(number)} " if len(by_number) > 1 else ""
            yield f"{many}of {place}, {' to '.join(dict.fromkeys(days))}"
        if len(by_number) > _SOURCES:
            yield f"and {len(by_number) - _SOURCES} more"


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest of the values that at least so many percent of them do not exceed."""
    return sorted(values)[max(0, ceil(len(values) * share / 100) - 1)]
