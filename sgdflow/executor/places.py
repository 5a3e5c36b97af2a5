"""What prompts may know of a node's place in the graph."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from operator import is_
from typing import TYPE_CHECKING, Any

from sgdflow.executor.graph_paths import seen_through
from sgdflow.prompting.marks import texts_of
from sgdflow.prompting.values import MOST

if TYPE_CHECKING:
    from sgdflow.executor.graph import Graph

_KEPT = 8
"""Sets of parameters whose places are kept: candidates are scored side by side."""


@dataclass(frozen=True, slots=True)
class Success:
    """What a node was given and produced where the answer of the graph was right."""

    given: Mapping[str, Any]
    output: Any


@dataclass(frozen=True, slots=True)
class View:
    """What prompts may know of a node's place in the graph."""

    name: str
    predecessors: tuple[str, ...]
    successors: tuple[View, ...]
    parameters: Mapping[str, Any]
    told: Mapping[str, str] = field(default_factory=dict)
    """What each predecessor that is told something is told; inputs and code are told nothing."""
    given: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What each predecessor that is told something is given."""
    texts: tuple[str, ...] | None = None
    """Those of the above that a mark may hang on, where somebody has gathered them."""
    behind: Mapping[str, Any] = field(default_factory=dict)
    """Values that some of these were given and the node was not, where they are known."""
    reasons: Mapping[str, str] = field(default_factory=dict)
    """How it, and its predecessors, came to what they produced, where that is known."""
    when: str = ""
    """In which case it is computed; empty: in all."""
    successes: tuple[Success, ...] = ()
    """Its work on other examples, where the answer was right."""
    more: int = 0
    """Predecessors that are counted and not named."""

    def gathered(self) -> View:
        """Return the same with its texts, which need not be looked for in each prompt again."""
        known = (self.name, self.predecessors, self.successors)
        return replace(self, texts=texts_of((*known, self.parameters, self.told, self.given)))

    def about(self, targets: Collection[str]) -> View:
        """Return the place with what only these predecessors are told; of others the name stays."""
        told = {name: text for name, text in self.told.items() if name in targets}
        return replace(self, told=told, texts=None)

    @property
    def ring(self) -> Ring:
        """Return the predecessors as those are chosen that are seen beside some of them."""
        return Ring(self.predecessors, self.told)

    def beside(self, seen: Collection[str]) -> View:
        """Return the place as somebody knows it who sees only these predecessors."""
        return replace(
            self,
            predecessors=tuple(name for name in self.predecessors if name in seen),
            told={name: text for name, text in self.told.items() if name in seen},
            texts=None,
        )

    def few(self, whole: Collection[str] = (), ring: Ring | None = None) -> View:
        """Return the place as a prompt tells it whatever the fan-in: with so many others at most.

        Of those besides the `whole` ones these come first that nobody is told to write, as a query
        is one of them, and then the next in order, so that each is seen beside some others. Whoever
        asks about several groups hands in the `ring`, so that not each looks through all.
        """
        if len(self.predecessors) <= MOST:
            return self
        ring = ring or self.ring
        number = len(self.predecessors) - len(ring.among(whole))
        if number <= MOST:
            return self
        seen = ring.among([*whole, *ring.beside(whole)])
        return replace(
            self,
            predecessors=tuple(seen),
            told={name: self.told[name] for name in seen if name in self.told},
            given={name: self.given[name] for name in seen if name in self.given},
            texts=None,
            more=number - MOST,
        )


class Order:
    """The order of some names."""

    def __init__(self, names: Iterable[str]) -> None:
        self._place = {name: place for place, name in enumerate(names)}

    def among(self, some: Iterable[str]) -> Sequence[str]:
        """Return those of others that are among the names, in order."""
        return sorted({name for name in some if name in self._place}, key=self._place.__getitem__)


class Ring(Order):
    """The predecessors of a node in order, the last one followed by the first."""

    def __init__(self, names: Sequence[str], told: Collection[str]) -> None:
        super().__init__(names)
        self._names = names
        plain = [place for place, name in enumerate(names) if name not in told]
        written = [place for place, name in enumerate(names) if name in told]
        self._kinds = plain, written

    def beside(self, whole: Collection[str]) -> Sequence[str]:
        """Return those to be seen beside some, the ones after them first: so many at most."""
        known = self.among(whole)
        start, left = self._place[known[-1]] + 1 if known else 0, set(known)
        others = (
            self._names[kind[(first + further) % len(kind)]]
            for kind in self._kinds
            for first in [bisect_left(kind, start)]
            for further in range(len(kind))
        )
        return list(islice((name for name in others if name not in left), MOST))


@dataclass(frozen=True, slots=True)
class _Made:
    """The places that were made under some parameters, which are told apart by identity."""

    parameters: Mapping[str, Any]
    alone: dict[str, View] = field(default_factory=dict)
    """Without their successors."""
    whole: dict[str, View] = field(default_factory=dict)


@dataclass(frozen=True)
class Places:
    """The places of a graph's nodes, which are made once for all examples."""

    graph: Graph
    kept: list[_Made] = field(default_factory=list)
    """What was made under the parameters that were asked about last."""

    def of(self, name: str, parameters: Mapping[str, Any], known: Mapping[str, Any]) -> View:
        """Return a node's place, with those of the values that only others were given."""
        made = self._made_under(parameters)
        view = made.whole.get(name) or self._whole(name, made)
        own, before = frozenset(view.predecessors), view.given.values() if known else ()
        names = dict.fromkeys(name for given in before for name in given if name not in own)
        return replace(view, behind={n: known[n] for n in names if n in known}) if known else view

    def _made_under(self, parameters: Mapping[str, Any]) -> _Made:
        for one in self.kept:
            if one.parameters is parameters:
                return one
        self.kept[:] = [*self.kept[1 - _KEPT :], _Made(parameters)]
        return self.kept[-1]

    def _whole(self, name: str, made: _Made) -> View:
        """Make a place, unless there is one of the same texts: few of them change at a time."""
        around = (name, *self._users[name])
        alone = [made.alone.get(user) or self._alone(user, made) for user in around]
        for other in self.kept:
            if (view := other.whole.get(name)) and all(
                map(is_, alone, map(other.alone.get, around))
            ):
                break
        else:
            view = replace(alone[0], successors=tuple(alone[1:])).gathered()
        made.whole[name] = view
        return view

    def _alone(self, name: str, made: _Made) -> View:
        """Make a place without its successors, unless there is one of the same texts."""
        concerns = self._concerns[name]
        texts = [made.parameters[one] for one in concerns]
        for other in self.kept:
            if (view := other.alone.get(name)) and texts == [
                other.parameters[one] for one in concerns
            ]:
                break
        else:
            view = self._anew(name, made.parameters).gathered()
        made.alone[name] = view
        return view

    def _anew(self, name: str, parameters: Mapping[str, Any]) -> View:
        node, declared = self.graph.nodes[name], self.graph.parameters
        told = {
            local: parameters[full]
            for local, full in node.parameters.items()
            if not declared[full].demonstrations
        }
        authors = {p: self._author(p) for p in node.predecessors}
        before = {p: self._told(author, parameters) for p, author in authors.items()}
        asked = {p: t for p, t in before.items() if t}
        given = {p: self.graph.nodes[authors[p]].predecessors for p in asked}
        when = node.when.described if node.when else ""
        return View(name, node.predecessors, (), told, asked, given, when=when)

    @cached_property
    def _concerns(self) -> Mapping[str, Sequence[str]]:
        """Return the parameters of each node and of those before it."""
        nodes = self.graph.nodes
        own = {name: node.parameters.values() for name, node in nodes.items()}
        return {
            name: [
                *own[name],
                *(one for p in node.predecessors for one in own.get(self._author(p), ())),
            ]
            for name, node in nodes.items()
        }

    @cached_property
    def _users(self) -> Mapping[str, tuple[str, ...]]:
        """Return each variable's successors, and for fields theirs."""
        nodes = self.graph.nodes
        return seen_through(self.graph.successors, [n for n in nodes if self._author(n) == n])

    def _author(self, variable: str) -> str:
        """Return the variable itself, or the one whose field it is."""
        node, (owner, _, field) = self.graph.nodes.get(variable), variable.partition(".")
        is_field = node and field and node.predecessors == (owner,) and not node.parameters
        return owner if is_field else variable

    def _told(self, variable: str, parameters: Mapping[str, Any]) -> str:
        node, declared = self.graph.nodes.get(variable), self.graph.parameters
        used = node.parameters.values() if node else ()
        return " ".join(str(parameters[p]) for p in used if not declared[p].demonstrations)
