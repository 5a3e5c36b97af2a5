"""A node with tools: a model calls them, is told what they return, and answers in the end."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from sgdflow.errors import NodeFailed, ReplyError, listed, plural, raised_at, shortly
from sgdflow.executor.forward import PromptForward, exchange
from sgdflow.executor.functions import Function
from sgdflow.executor.graph import Computed, Node, Operands
from sgdflow.executor.places import View
from sgdflow.executor.samples import Anything
from sgdflow.llm import LLM, Message
from sgdflow.prompting.ask import Call
from sgdflow.prompting.values import as_text, shortened

RESULT = "reply/tool.jinja"
ANSWER = "answer"
"""In the place of a tool: the model has done, and this is its answer."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that a model may call."""

    name: str
    function: Function

    @property
    def takes(self) -> str:
        """Return its arguments, as a model is told of them."""
        named = self.function.named() or {}
        return ", ".join(
            name if required else f"{name} (optional)" for name, required in named.items()
        )

    @property
    def about(self) -> str:
        """Return what its author says of it, in a line."""
        return (self.function.call.__doc__ or "").strip().partition("\n")[0]


@dataclass(frozen=True, slots=True)
class Shown:
    """A tool as templates see it."""

    name: str
    takes: str
    about: str


@dataclass(frozen=True, slots=True)
class ToolUse(PromptForward):
    """A forward function that asks a model, which may call tools before it answers."""

    tools: tuple[Tool, ...] = ()
    rounds: int = 1
    """How many calls of tools it may make."""

    @property
    def is_text(self) -> bool:
        """Return True: a call of a tool, or the answer, has fields, and the value is the answer."""
        return True

    @property
    def requests(self) -> int:
        """Return how many calls of the model a value takes at most."""
        return self.rounds + 1

    @property
    def described(self) -> str:
        """Return who is asked, and which tools there are."""
        names = listed(tool.name for tool in self.tools)
        return f"{exchange(self.ask)}, with at most {plural(self.rounds, 'call')} of {names}"

    async def forward(self, node: View, operands: Operands, llm: LLM) -> Computed:
        """Return the answer, and how it came about; raises NodeFailed where there is none."""
        variables, beside = self._variables(node, operands), self._beside(operands)
        turns: list[Message] = []
        calls: list[Call] = []
        told: list[str] = []
        for left in range(self.rounds, -1, -1):
            accept = partial(self._accept, may_call=left > 0)
            after = replace(beside, after=tuple(turns))
            try:
                answered = await self.ask.send(
                    llm, node.name, variables, accept=accept, beside=after
                )
            except NodeFailed as error:
                raise NodeFailed(str(error), (*calls, *error.calls), error.kind) from error
            calls.append(answered.call)
            said = answered.texts[""]
            pretended = isinstance(said, Anything)
            if (pretended and not left) or (not pretended and said["tool"] == ANSWER):
                value = said if pretended else said[ANSWER].strip()
                return Computed(value, tuple(calls), "\n".join(told))
            called, result = await self._called(said)
            told += [called, f"-> {result}"]
            reply = Message("assistant", answered.call.reply)
            turns += [reply, Message("user", self._result(called, result, left - 1))]
        raise AssertionError("the last reply is an answer")

    def problems(self, node: Node) -> Iterator[str]:
        """Yield what is wrong with the template for this node, or with its tools."""
        for tool in self.tools:
            if not tool.name.isidentifier() or tool.name == ANSWER:
                yield f"tools: '{tool.name}' cannot name a tool; use letters, digits and _."
            if not tool.about and tool.name not in node.parameters:
                yield (
                    f"tools.{tool.name}: nobody says what {tool.function.name} does. Give it a "
                    f"docstring, or the node a parameter '{tool.name}' that says it."
                )
        yield from PromptForward.problems(self, node)

    def _variables(self, node: View, operands: Operands) -> Mapping[str, Any]:
        """Return what the template may use; parameters of tools' names say what these do."""
        found = PromptForward._variables(self, node, operands)
        names = {tool.name for tool in self.tools}
        said = operands.parameters
        shown = [Shown(t.name, t.takes, str(said.get(t.name, t.about))) for t in self.tools]
        own = {name: text for name, text in found["parameters"].items() if name not in names}
        return {**found, "parameters": own, "tools": shown}

    def _accept(self, texts: Mapping[str, Any], *, may_call: bool) -> None:
        """Raise ReplyError for a call that cannot be made, and for no answer."""
        said = texts[""]
        if isinstance(said, Anything):
            return
        if said["tool"] == ANSWER:
            if not str(said.get(ANSWER) or "").strip():
                raise ReplyError(f'the answer is missing: write it under "{ANSWER}"', "empty")
            return
        if not may_call:
            raise ReplyError(f'no tool may be called any more: write "tool": "{ANSWER}" and answer')
        tool = self._tool(said["tool"])
        if told := next(tool.function.problems(**(said.get("arguments") or {})), None):
            raise ReplyError(f"the tool cannot be called so: {told.rstrip('.')}")

    def _tool(self, name: str) -> Tool:
        return next(tool for tool in self.tools if tool.name == name)

    async def _called(self, said: Any) -> tuple[str, str]:
        """Return a call as it is written down, and what came of it."""
        if isinstance(said, Anything):
            return "tool(...)", str(said)
        given = said.get("arguments") or {}
        shown = ", ".join(f"{name}={json.dumps(value)}" for name, value in given.items())
        try:
            result = await self._tool(said["tool"]).function(**given)
        except NodeFailed as error:
            # A model has no use for a place in a file.
            place = "" if error.__cause__ is None else raised_at(error.__cause__)
            told = shortly(str(error).removesuffix(place), 300)
            return f"{said['tool']}({shown})", f"failed: {told}"
        return f"{said['tool']}({shown})", shortened(str(as_text(result)))

    def _result(self, called: str, result: str, left: int) -> str:
        variables = {"called": called, "result": result, "left": left}
        return self.ask.prompts.text(RESULT, variables)


def reply_schema(names: Sequence[str]) -> Mapping[str, Any]:
    """Return the JSON Schema of what a model says: a call of a tool, or its answer."""
    return {
        "type": "object",
        "properties": {
            "tool": {
                "enum": [*names, ANSWER],
                "description": f'the tool to call next, or "{ANSWER}" when you have all you need',
            },
            "arguments": {"type": "object", "description": "those of the tool, by name"},
            ANSWER: {"type": "string", "description": "your output, once no tool is needed"},
        },
        "required": ["tool"],
        "additionalProperties": False,
    }
