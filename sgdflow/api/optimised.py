"""What came of a run: scores and texts, before and after, as text and as HTML."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from sgdflow.descent import Result
from sgdflow.errors import plural
from sgdflow.executor.graph import Parameters
from sgdflow.records import SPLITS, scores_record
from sgdflow.records.diff import Op, words
from sgdflow.records.words import change_words
from sgdflow.report.page import as_html, element
from sgdflow.terminal import STYLES, Part

_MARKS: Mapping[Op, str] = {"equal": "span", "delete": "del", "insert": "ins"}
_LOOKS: Mapping[Op, str | None] = {
    "equal": None,
    "delete": "color: #a40e26; background: #ffebe9",
    "insert": "color: #0b6623; background: #dafbe1; text-decoration: none",
}


@dataclass(frozen=True)
class Optimised(Result):
    """How a descent ended; printed, or shown by a notebook, it says what changed."""

    start: Parameters = field(default_factory=dict)
    """The texts that it began with."""
    directory: Path | None = None
    """Where its records are; None where it left none."""

    @classmethod
    def of(cls, result: Result, start: Parameters, directory: Path | None) -> Optimised:
        """Return a result with what it started from."""
        known: dict[str, Any] = {one.name: getattr(result, one.name) for one in fields(result)}
        return cls(**known, start=start, directory=directory)

    def __str__(self) -> str:
        """Return the scores and every text that changed, as a difference."""
        lines = [self._headline(), *(f"  {split:<11} {said}" for split, said in self._scores())]
        for name, parts in self._changes():
            said = "".join(Part(text, STYLES[op]).marked() for op, text in parts)
            lines += ["", name, *(f"    {line}" for line in said.splitlines())]
        if self.directory is not None:
            lines += ["", f"Records: {self.directory}"]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """Return the same for a notebook."""
        rows = [
            element("tr", element("th", split, scope="row"), element("td", said))
            for split, said in self._scores()
        ]
        content = [element("p", self._headline()), element("table", element("tbody", *rows))]
        for name, parts in self._changes():
            marked = [element(_MARKS[op], text, style=_LOOKS[op]) for op, text in parts]
            content += [
                element("p", element("strong", name)),
                element("p", *marked, style="white-space: pre-wrap"),
            ]
        if self.directory is not None:
            content.append(element("p", "Records: ", element("code", str(self.directory))))
        return as_html(element("div", *content))

    def _headline(self) -> str:
        steps = f"{plural(self.steps, 'step')}, {self.accepted} accepted"
        changed = sum(1 for _ in self._changes())
        of_all = f"{changed} of {plural(len(self.start), 'text')} changed"
        return f"{steps}; {of_all}. Stopped: {self.stop_reason}."

    def _scores(self) -> Iterator[tuple[str, str]]:
        scores = scores_record(self.initial, self.final)
        for split in SPLITS:
            if scores[split]["initial"] or scores[split]["final"]:
                yield split, change_words(scores[split])

    def _changes(self) -> Iterator[tuple[str, tuple[tuple[Op, str], ...]]]:
        for name, before in self.start.items():
            after = self.parameters[name]
            if after != before:
                yield name, words(str(before), str(after))
