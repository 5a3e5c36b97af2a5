"""Right work of a node that a critic may be shown beside a failure: the pieces most like it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from sgdflow.executor.branches import present
from sgdflow.executor.forward import ForwardPass
from sgdflow.executor.graph import Node
from sgdflow.executor.places import Success
from sgdflow.prompting.values import as_text, shortened, shown

if TYPE_CHECKING:
    from sgdflow.executor.backward import Differentiation
    from sgdflow.executor.outcomes import Evaluation

_LONGEST = 1500
"""Characters of all values together that are shown of one piece of work."""
_SHORT = 60
"""Characters that each of them may have, however many there are."""
_AMONG = 200
"""Right answers among which those are looked for that are most like a failure."""
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Right:
    """Passes of examples that were answered right, of which critics are shown a few."""

    passes: Sequence[ForwardPass]
    count: int
    _words: dict[str, Sequence[Set[str]]] = field(default_factory=dict)
    """By node: the words of what it was given in each pass."""

    @classmethod
    def of(cls, known: Evaluation, how: Differentiation | None) -> Self | None:
        """Return what there is, where critics are shown any of it; None elsewhere."""
        if how is None or not how.successes:
            return None
        return cls([one.passed for one in known.right[:_AMONG]], how.successes)

    def like(self, node: Node, failed: ForwardPass) -> tuple[Success, ...]:
        """Return at most `count` pieces of work that share most with what a failure was given.

        One after the other: each is the one with the rarest words of the failure that no earlier
        one has; when these are used up, all count again. Equal ones in the order of the passes.
        What shares no word is none of them, nor what has the same words as one that is.
        """
        if node.name not in self._words:
            self._words[node.name] = [_words(node, one.values) for one in self.passes]
        needed = {*node.predecessors, node.name}
        there = [
            (one, words)
            for one, words in zip(self.passes, self._words[node.name], strict=True)
            if one.example != failed.example and needed <= present(one.values).keys()
        ]
        known = Counter(word for _, words in there for word in words)
        wanted, found = _words(node, failed.values) & known.keys(), list[Success]()
        there = [(one, words) for one, words in there if words & wanted]
        missing = wanted
        while there and len(found) < self.count:
            if not any(words & missing for _, words in there):
                missing = wanted
            worth = [sum(1 / known[w] for w in sorted(words & missing)) for _, words in there]
            one, chosen = there[max(range(len(there)), key=worth.__getitem__)]
            there = [(other, words) for other, words in there if words != chosen]
            missing = missing - chosen
            given = {name: one.values[name] for name in node.predecessors}
            found.append(Success(given, one.values[node.name]))
        return tuple(found)


def in_view(successes: Sequence[Success], seen: Collection[str]) -> Sequence[Mapping[str, Any]]:
    """Return right work for a template, with the predecessors that it may show, each in short."""
    longest = max(_SHORT, _LONGEST // max(1, len(seen)))

    def brief(value: Any) -> str:
        return shortened(str(as_text(value)), longest)

    return [
        {
            "predecessors": shown({n: brief(v) for n, v in one.given.items() if n in seen}),
            "output": shortened(str(as_text(one.output)), _LONGEST),
        }
        for one in successes
    ]


def _words(node: Node, values: Mapping[str, Any]) -> Set[str]:
    """Return the words of what a node was given, each with the predecessor that it came from."""
    return {
        f"{name} {word}".casefold()
        for name in node.predecessors
        if name in values
        for word in _WORD.findall(str(as_text(values[name])))
    }
