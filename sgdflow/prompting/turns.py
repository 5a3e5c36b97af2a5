"""The turns of a chat that a template's blocks stand for, and what of a template is never sent."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import cache
from typing import Any, Literal

from jinja2 import nodes

from sgdflow.errors import did_you_mean, shortly

Role = Literal["system", "user", "assistant"]
_TURN = re.compile(r"(?P<role>user|assistant)(?:_(?P<number>[2-9]|[1-9][0-9]+))?")
_KNOWN = ("system", "user", "assistant", "user_2", "assistant_2")
_TURNS = f"{', '.join(_KNOWN)} and so on"
_NEEDED = re.compile(r"\b(?:self|endset|namespace|cycler|joiner|required)\b")
"""What a template's text holds where something beside its blocks may hang on what they render."""
_SILENT = (nodes.Assign, nodes.AssignBlock, nodes.Macro, nodes.Import, nodes.FromImport)


@cache
def turns(blocks: tuple[str, ...]) -> Sequence[tuple[str, Role]]:
    """Return the blocks that are turns, in their order, with who speaks: user before assistant."""
    found: list[tuple[int, str, Role]] = []
    for name in blocks:
        if name == "system":
            found.append((0, name, "system"))
        elif turn := _TURN.fullmatch(name):
            number = 2 * int(turn["number"] or 1)
            user = turn["role"] == "user"
            found.append((number - 1 if user else number, name, "user" if user else "assistant"))
    return [(name, role) for _, name, role in sorted(found)]


def extended(
    name: str, tree_of: Callable[[str], nodes.Template]
) -> Sequence[tuple[str, nodes.Template]]:
    """Return a template, followed by those that it extends; none where a name is computed."""
    chain: dict[str, nodes.Template] = {}
    following: str | None = name
    while following is not None and following not in chain:
        chain[following] = tree_of(following)
        extends = next(iter(chain[following].find_all(nodes.Extends)), None)
        match extends and extends.template:
            case nodes.Const(value=str() as other):
                following = other
            case None:
                following = None
            case _:  # an expression: nobody knows what stands in it
                return ()
    return list(chain.items())


class Unsaid(dict[str, list[Callable[[Any], Iterator[str]]]]):
    """The blocks of a template while nothing but what stands beside them is wanted."""

    def __getitem__(self, name: str) -> list[Callable[[Any], Iterator[str]]]:
        """Return a block that renders to nothing in the place of any."""
        return [_nothing]


def _nothing(context: Any) -> Iterator[str]:
    yield from ()


def stand_alone(chain: Sequence[tuple[str, nodes.Template]], sources: Iterable[str]) -> bool:
    """Return whether a template has turns, and what stands beside them does without their text.

    The chain is the template, followed by those that it extends; the sources are all it may use.
    """
    defined = {block.name for _, tree in chain for block in tree.find_all(nodes.Block)}
    macros = [macro for _, tree in chain for macro in tree.find_all(nodes.Macro)]
    called = any(macro.find(nodes.Block) for macro in macros)
    return bool(turns((*defined,))) and not called and not any(map(_NEEDED.search, sources))


def unsent(chain: Sequence[tuple[str, nodes.Template]]) -> Iterator[str]:
    """Yield what of a template, followed by those that it extends, no model would be shown."""
    if not chain:
        return
    defined = {block.name for _, tree in chain for block in tree.find_all(nodes.Block)}
    said = turns((*defined,))
    base = chain[-1][1]
    shown = _reached([name for name, _ in said] or _named(base), chain)
    for name, tree in chain:
        for block in _outermost(tree):
            if block.name not in shown:
                yield f"{name}, line {block.lineno}: {_no_turn(block.name, bool(said))}"
        if said or tree is not base:
            yield from (f"{name}, line {line}: {what}" for line, what in _outside(tree.body))


def _no_turn(name: str, chat: bool) -> str:
    if not chat:
        return f"the block '{name}' stands in no template that this one extends: it is never sent."
    hint = did_you_mean(name, _KNOWN)
    return f"the block '{name}' is no turn of the chat: it is never sent.{hint} Turns: {_TURNS}."


def _reached(names: Sequence[str], chain: Sequence[tuple[str, nodes.Template]]) -> Collection[str]:
    """Return these blocks and all that stand within them, or are named by `self.NAME()`."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        if (name := waiting.pop()) in found:
            continue
        found.add(name)
        for _, tree in chain:
            for block in tree.find_all(nodes.Block):
                if block.name == name:
                    waiting += [inner for part in block.body for inner in _named(part)]
    return found


def _named(tree: nodes.Node) -> list[str]:
    inner = [tree, *tree.find_all((nodes.Block, nodes.Getattr))]
    blocks = [node.name for node in inner if isinstance(node, nodes.Block)]
    return blocks + [
        node.attr
        for node in inner
        if isinstance(node, nodes.Getattr)
        and isinstance(node.node, nodes.Name)
        and node.node.name == "self"
    ]


def _outermost(tree: nodes.Node) -> Iterator[nodes.Block]:
    for node in tree.iter_child_nodes():
        if isinstance(node, nodes.Block):
            yield node
        else:
            yield from _outermost(node)


def _outside(body: Sequence[nodes.Node], within: str = "") -> Iterator[tuple[int, str]]:
    """Yield the lines that stand beside the blocks, with what is wrong there."""
    for node in body:
        if isinstance(node, nodes.Block):
            if within:
                where = f"stands within {{% {within} %}}, which has no effect on it"
                yield node.lineno, f"the block '{node.name}' {where}: put that into the block."
        elif isinstance(node, nodes.Include):
            yield node.lineno, "what is included beside the blocks is never sent."
        elif isinstance(node, nodes.Output):
            for part in node.nodes:
                text = part.data if isinstance(part, nodes.TemplateData) else "{{ ... }}"
                if text.strip():
                    before = text[: len(text) - len(text.lstrip())].count("\n")
                    yield (
                        part.lineno + before,
                        f"'{shortly(text, 40)}' beside the blocks is never sent.",
                    )
        elif not isinstance(node, (*_SILENT, nodes.Extends, nodes.ExprStmt)):
            word = type(node).__name__.lower()
            inner = [child for child in node.iter_child_nodes() if isinstance(child, nodes.Stmt)]
            yield from _outside(inner, word)
