"""The tree of candidates that the lines of steps.jsonl tell of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sgdflow.errors import listed, plural


@dataclass(frozen=True, slots=True)
class Grown:
    """A candidate with its place in the tree."""

    number: int
    """0: the start."""
    step: int
    parents: tuple[int, ...]
    """Two for a merge."""
    why: str
    changed: tuple[str, ...]
    parameters: Mapping[str, Any]
    turned_down: int
    """Proposals that were made from it, in vain."""
    score: Mapping[str, Any] | None = None
    """Of what the gate went by, as far as it was scored; None where it is not known."""
    pooled: Mapping[str, Any] | None = None
    """That the pool chose by; None where it went by none, or it is not known."""

    @property
    def name(self) -> str:
        """Return what it is called."""
        return f"candidate {self.number}" if self.number else "start"

    @property
    def mean(self) -> float | None:
        """Return the score that stands for it: what the pool chose by, else the gate's."""
        found = self.pooled or self.score
        return float(found["mean"]) if found else None

    @property
    def scored(self) -> str:
        """Say its scores, and of how many examples: "0.750 on 24 validation examples"."""
        gate = ""
        if self.score:
            left = self.score.get("of", self.score["n"]) > self.score["n"]
            gate = f"{self.score['mean']:.3f} on {self.score['n']}"
            gate += f" of {self.score['of']}" if left else ""
        if self.pooled is None:
            return gate
        kind = "training" if self.pooled["split"] == "train" else self.pooled["split"]
        words = f"{self.pooled['mean']:.3f} on {plural(self.pooled['n'], f'{kind} example')}"
        return f"{words} ({gate} at the gate)" if gate else words

    @property
    def origin(self) -> str:
        """Say what made it."""
        down = ""
        if self.turned_down:
            down = f"; {plural(self.turned_down, 'proposal')} from it turned down"
        if not self.parents:
            return f"the start{down}"
        made = {"merge": "a merge", "part": "part of a proposal"}.get(self.why, "a proposal")
        others = listed(map(str, self.parents))
        return f"step {self.step}, {made} from {others}: {listed(self.changed)}{down}"


def place_of(step: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return of a line of steps.jsonl what its place in the tree takes."""
    keys = ("step", "from", "candidate", "why", "proposal", "pool", "scores", "known", "pooled")
    own = {key: step[key] for key in keys if key in step}
    return own | ({"others": [*map(place_of, step["others"])]} if "others" in step else {})


def candidates(
    steps: Sequence[Mapping[str, Any]], start: Mapping[str, Any] | None = None
) -> Sequence[Grown]:
    """Return all candidates by number, the start first; `start` are its parameters.

    Empty where the lines are of a version that did not tell. Lines of others may have a candidate
    come from itself or from a later one, or two with one number: what cannot be is left out.
    """
    if any("from" not in step for step in steps):
        return ()
    made = [(step, one) for step in steps for one in (step, *step["others"]) if one["from"]]
    down = Counter(one["from"][0] for _, one in made if one["candidate"] is None)
    known: dict[int, Mapping[str, Any]] = {0: start or {}}
    found = [Grown(0, 0, (), "start", (), known[0], down[0])]
    taken = [(step, one) for step, one in made if one["candidate"] is not None]
    for step, one in sorted(taken, key=lambda both: both[1]["candidate"]):
        number, changes = one["candidate"], one["proposal"]
        if number in known or any(parent not in known for parent in one["from"]):
            continue
        known[number] = {**known[one["from"][0]], **changes}
        found.append(
            Grown(
                number,
                step["step"],
                tuple(one["from"]),
                one["why"],
                tuple(changes),
                known[number],
                down[number],
                _of_gate(one),
                one.get("pooled"),
            )
        )
    return found


def _of_gate(one: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the gate's score; earlier versions told that of a step's first proposal alone."""
    found: Mapping[str, Any] | None = one.get("known") or one.get("scores", {}).get("candidate")
    return found


def accepted(steps: Sequence[Mapping[str, Any]]) -> int:
    """Count the accepted proposals of all steps."""
    made = (one for step in steps for one in (step, *step.get("others", ())))
    return sum(bool(one["accepted"]) for one in made)


def is_wide(steps: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether several candidates were kept, or several proposals made in a step."""
    return any(step.get("others") or len(step.get("pool", ())) > 1 for step in steps)


def number_of(found: Sequence[Grown], parameters: Mapping[str, Any]) -> int | None:
    """Return the number of the newest candidate that has these parameters; None: none has."""
    return next((one.number for one in reversed(found) if one.parameters == parameters), None)


def tree_lines(found: Sequence[Grown], chosen: int | None = None) -> Iterator[str]:
    """Yield the tree in lines; a merge stands below the first of its parents.

    An only child stands right below its parent, not further in.
    """
    below: dict[int, list[Grown]] = {}
    for one in found:
        for parent in one.parents[:1]:
            below.setdefault(parent, []).append(one)
    left = [(one, "", "") for one in found[:1]]
    while left:
        one, branch, further = left.pop()
        mark = "  <- returned" if one.number == chosen else ""
        scored = f"{one.scored}, " if one.scored else ""
        yield f"{branch}{one.number} {scored}{one.origin}{mark}"
        if not (children := below.get(one.number)):
            continue
        *others, last = children
        if not others:  # a line of descent stays at its margin
            left.append((last, further, further))
            continue
        left.append((last, f"{further}└─ ", f"{further}   "))
        left += [(other, f"{further}├─ ", f"{further}│  ") for other in reversed(others)]
