"""Examples that are given in Python: dictionaries, all in one list or in one a split."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from sgdflow.data.examples import SPLITS, Example, Pools
from sgdflow.errors import DataError, did_you_mean, listed, plural

TARGET = "target"
"""Where what is expected stands, unless somebody says it."""
Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class GivenExamples:
    """Reads them when a task is built; `problems` that are found are DataErrors."""

    examples: Rows | Mapping[str, Rows]
    inputs: Collection[str]
    """Keys that every example has to hold."""
    target: str
    """Key of the expected answer; where no example has it, there is none."""
    id: str | None = None
    """Key of an id; None: they are numbered."""

    def __call__(self) -> Pools:
        """Return the examples; raises DataError."""
        found = self._found()
        if not any(True for _ in self._all()):
            raise DataError("examples: there are none; give some dictionaries.")
        if self.target != TARGET and not self.has_targets():
            known = list(dict.fromkeys(str(key) for row in self._all() for key in row))
            raise DataError(
                f"target: no example has '{self.target}'.{did_you_mean(self.target, known)} "
                f"They have: {listed(known)}."
            )
        return found

    def _found(self) -> Pools:
        if isinstance(self.examples, Mapping):
            if unknown := [name for name in self.examples if name not in SPLITS]:
                raise DataError(
                    f"examples: there is no split '{unknown[0]}'."
                    f"{did_you_mean(str(unknown[0]), SPLITS)} Known: {listed(SPLITS)}."
                )
            parts = {
                split: tuple(self._read(rows, f"examples['{split}']", f"{split}/"))
                for split, rows in self.examples.items()
            }
            return Pools(**parts)
        return Pools(shared=tuple(self._read(self.examples, "examples", "")))

    def _read(self, rows: Any, where: str, prefix: str) -> Iterator[Example]:
        if isinstance(rows, str | bytes) or not isinstance(rows, Sequence):
            frame = " Of a data frame it is frame.to_dict('records')." * hasattr(rows, "to_dict")
            raise DataError(
                f"{where}: expected a list of dictionaries, found {type(rows).__name__}.{frame}"
            )
        for number, row in enumerate(rows):
            at = f"{where}[{number}]"
            if not isinstance(row, Mapping):
                raise DataError(f"{at}: expected a dictionary, found {type(row).__name__}.")
            wanted = [*self.inputs, *([] if self.id is None else [self.id])]
            for name in wanted:
                if name not in row:
                    raise DataError(
                        f"{at}: there is no '{name}'.{did_you_mean(name, list(map(str, row)))} "
                        f"It has: {listed(map(str, row))}."
                    )
            own = f"{prefix}{number}" if self.id is None else str(row[self.id])
            inputs = {key: row[key] for key in row if key not in (self.target, self.id)}
            yield Example(own, inputs, row.get(self.target), at)

    def has_targets(self) -> bool:
        """Return whether some example has an expected answer."""
        return any(isinstance(row, Mapping) and self.target in row for row in self._all())

    def sizes(self) -> Mapping[str, int | None]:
        """Return how many examples each split holds where nobody says it.

        Of one list about two fifths to learn from, three tenths to confirm with, the rest to test.
        """
        if isinstance(self.examples, Mapping):
            own = dict.fromkeys((name for name in SPLITS if name in self.examples), None)
            return {"train": None, "validation": 0, "test": None, **own}
        count = sum(1 for _ in self._all())
        return {"train": max(1, count * 2 // 5), "validation": count * 3 // 10, "test": None}

    def written(self) -> Mapping[str, Any]:
        """Return what of them is written down: how many, and which ones in a digest."""
        text = json.dumps(self.examples, sort_keys=True, default=repr)
        return {
            "_target_": f"{__name__}.{lost.__name__}",
            "examples": sum(1 for _ in self._all()),
            "sha256": sha256(text.encode()).hexdigest(),
        }

    def _all(self) -> Iterator[Any]:
        lists = self.examples.values() if isinstance(self.examples, Mapping) else [self.examples]
        for rows in lists:
            yield from rows if isinstance(rows, Sequence) and not isinstance(rows, str) else ()


def lost(*, examples: int, sha256: str) -> Pools:
    """Raise DataError: examples that were given in Python stand in no file."""
    raise DataError(
        f"the {plural(examples, 'example')} of this run were given in Python and are not kept. "
        "Give them again (sgdflow.Flow(examples=...)), or name a file (task=table)."
    )
