"""What the text of a template says before it is rendered: mistakes, variables, references."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter

from jinja2 import TemplateSyntaxError, meta, nodes

from sgdflow.prompting.sandbox import Sandbox

_TAGS = 5_000


@dataclass(frozen=True)
class Source:
    """The text of one template; what is found in it is found once."""

    environment: Sandbox
    name: str
    text: str

    @cached_property
    def tree(self) -> nodes.Template:
        """Return its syntax tree; raises TemplateSyntaxError."""
        return self.environment.parse(self.text)

    @cached_property
    def mistake(self) -> str:
        """Say why it cannot be compiled, beginning with where; empty where it can."""
        if self.text.count("{{") + self.text.count("{%") > _TAGS:
            return f": has more than {_TAGS:,} tags, too many to be compiled."
        try:
            # Compiling changes the tree it is given.
            self.environment.compile(self.environment.parse(self.text), self.name)
        except TemplateSyntaxError as error:
            return f", line {error.lineno}: {error.message}"
        except Exception as error:  # nested deeper than Python's own compiler goes
            return f": cannot be compiled ({type(error).__name__}: {error})."
        return ""

    @cached_property
    def variables(self) -> Mapping[str, int]:
        """Return the variables that it does not define itself, with the first line of each."""
        wanted = meta.find_undeclared_variables(self.tree)
        uses = [(n.name, n.lineno) for n in self._names if n.name in wanted]
        return {name: min(line for used, line in uses if used == name) for name in sorted(wanted)}

    @cached_property
    def defined(self) -> frozenset[str]:
        """Return what it defines, which a template that it includes also sees."""
        return frozenset(n.name for n in self._names if n.ctx in ("store", "param"))

    @cached_property
    def references(self) -> tuple[tuple[str, int], ...]:
        """Return the templates that it includes or extends by name, with the line."""
        return tuple(_references(self.tree))

    @cached_property
    def may_refer_to(self) -> tuple[str, ...]:
        """Return the names of all templates that stand in its references."""
        return tuple(name for name in meta.find_referenced_templates(self.tree) if name)

    @cached_property
    def computes_names(self) -> bool:
        """Return whether it may refer to any template whatever."""
        return any(_computed(self.tree))

    @property
    def _names(self) -> Iterator[nodes.Name]:
        return self.tree.find_all(nodes.Name)


def endless(name: str, refers: Mapping[str, Sequence[str]]) -> str:
    """Say which of the templates behind one lead back to themselves; `refers` says to which."""
    try:
        TopologicalSorter(refers).prepare()
    except CycleError as error:
        around = list(reversed(error.args[1]))
        return (
            f"{around[0]}: comes back to itself without end ({' -> '.join(around)}). Take out one "
            "of these include, import or extends tags; the shipped template that a file of its "
            "name hides is sgdflow/NAME."
        )
    return (
        f"{name}: goes deeper than a template can: a macro calls itself without end, or a value "
        "is nested too deep."
    )


def _references(tree: nodes.Template) -> Iterator[tuple[str, int]]:
    """Yield the templates that are included or extended by name, with the line."""
    for node in tree.find_all((nodes.Include, nodes.Extends, nodes.Import, nodes.FromImport)):
        match getattr(node, "template", None):
            case nodes.Const(value=str() as name):
                yield name, node.lineno


def _computed(tree: nodes.Template) -> Iterator[bool]:
    """Yield for each reference by an expression; reply.template is known without it."""
    for node in tree.find_all((nodes.Include, nodes.Extends, nodes.Import, nodes.FromImport)):
        match getattr(node, "template", None):
            case nodes.Const() | nodes.Tuple() | nodes.List():
                pass
            case nodes.Getattr(node=nodes.Name(name="reply"), attr="template"):
                pass
            case _:
                yield True
