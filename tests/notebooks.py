"""Runs a notebook as its kernel does: cell by cell in one event loop, with `await` in cells."""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any


@dataclass
class Shown:
    """What a cell's output holds that is drawn anew."""

    drawn: list[str] = field(default_factory=list)

    def update(self, data: Mapping[str, str], *, raw: bool) -> None:
        self.drawn.append(data["text/plain"])


class Kernel:
    """Stands in for IPython; keeps what is displayed."""

    kernel = True

    def __init__(self) -> None:
        self.displays: list[Shown] = []

    def modules(self) -> Mapping[str, ModuleType]:
        """Return what a notebook has imported before its first cell runs."""
        top, display = ModuleType("IPython"), ModuleType("IPython.display")
        top.get_ipython = lambda: self  # type: ignore[attr-defined]
        display.display = self._display  # type: ignore[attr-defined]
        return {"IPython": top, "IPython.display": display}

    def _display(self, data: Mapping[str, str], *, raw: bool, display_id: bool) -> Shown:
        self.displays.append(Shown())
        return self.displays[-1]


def executed(file: Path) -> tuple[dict[str, Any], list[Any]]:
    """Return the names that the cells define, and the value of each cell's last expression."""
    cells = json.loads(file.read_text(encoding="utf-8"))["cells"]
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    return asyncio.run(_run(sources))


async def _run(sources: list[str]) -> tuple[dict[str, Any], list[Any]]:
    names: dict[str, Any] = {"__name__": "__main__"}
    values = []
    for number, source in enumerate(sources):
        tree = ast.parse(source)
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        await _evaluated(compile(tree, f"cell {number}", "exec", _FLAG), names)
        value = None
        if isinstance(last, ast.Expr):
            expression = ast.Expression(last.value)
            code = compile(expression, f"cell {number}", "eval", _FLAG)
            value = await _evaluated(code, names)
        values.append(value)
    return names, values


async def _evaluated(code: Any, names: dict[str, Any]) -> Any:
    value = eval(code, names)
    return await value if inspect.isawaitable(value) else value


_FLAG = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
