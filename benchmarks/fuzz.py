"""Feeds made-up and broken inputs to everything that reads: `make fuzz`.

python benchmarks/fuzz.py [INPUTS] [--seed N] [--kind NAME] [--only NUMBER]

Each kind of input has a maker and a reader (KINDS); INPUTS are shared out among them. A reader may
read, or refuse with one message of sgdflow's own. Anything else is broken: another exception, a
crash, a message of many lines, more than 5 s for an input, more than 4 GB of memory.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, TimeoutError
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import Any

from sgdflow.errors import SgdflowError

SLOW = 5.0
"""Seconds of CPU that an input may take."""
_MEMORY = 4 * 2**30
_CHUNK = 200
_LINES, _CHARACTERS = 12, 4_000
"""Of a message that somebody still reads."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of input: how one is made, and what reads it."""

    name: str
    make: Callable[[Random, Path], Any]
    """Returns an input; a file goes into the folder."""
    read: Callable[[Any], object]
    """Raises SgdflowError for what it refuses."""


@dataclass
class Tally:
    """What became of inputs."""

    read: int = 0
    refused: int = 0
    slowest: float = 0.0
    megabytes: float = 0.0
    broken: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Add what became of others."""
        self.read += other.read
        self.refused += other.refused
        self.slowest = max(self.slowest, other.slowest)
        self.megabytes = max(self.megabytes, other.megabytes)
        self.broken += other.broken


def kinds() -> Sequence[Kind]:
    """Return all kinds, in the order of the table that is printed."""
    import fuzz_data
    import fuzz_strangers

    return (*fuzz_data.KINDS, *fuzz_strangers.KINDS)


def tried(kind: Kind, numbers: Iterable[int], seed: int = 0) -> Tally:
    """Return what became of some inputs; an input depends on its kind, number and seed alone."""
    tally = Tally()
    with tempfile.TemporaryDirectory() as folder:
        for number in numbers:
            made = kind.make(Random(f"{kind.name}/{seed}/{number}"), Path(folder))
            began = time.process_time()
            try:
                kind.read(made)
                tally.read += 1
            except SgdflowError as error:
                tally.refused += 1
                told = str(error)
                if not told or told.count("\n") >= _LINES or len(told) > _CHARACTERS:
                    tally.broken.append(f"{kind.name} {number}: message: {told[:200]!r}")
            except Exception:
                tally.broken.append(f"{kind.name} {number}: {traceback.format_exc(-4)}")
            took = time.process_time() - began
            tally.slowest = max(tally.slowest, took)
            if took > SLOW:
                tally.broken.append(f"{kind.name} {number}: took {took:.1f} s")
    tally.megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return tally


def _tried_by_name(name: str, first: int, count: int, seed: int) -> Tally:
    kind = next(kind for kind in kinds() if kind.name == name)
    return tried(kind, range(first, first + count), seed)


def _bound() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))


def measured(kind: Kind, count: int, seed: int) -> Tally:
    """Return what became of so many inputs, read in a process of their own."""
    tally = Tally()
    done = 0
    while done < count:
        with ProcessPoolExecutor(1, get_context("spawn"), _bound) as pool:
            try:
                while done < count:
                    size = min(_CHUNK, count - done)
                    work = pool.submit(_tried_by_name, kind.name, done, size, seed)
                    done += size
                    tally.add(work.result(timeout=_CHUNK * SLOW))
            except (TimeoutError, BrokenProcessPool) as error:
                told = f"{kind.name} {done - size} to {done - 1}: {type(error).__name__}"
                tally.broken.append(told)
                for process in pool._processes.values():
                    process.kill()
    return tally


def main() -> int:
    """Print the table; return 1 where something broke."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("inputs", type=int, nargs="?", default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind")
    parser.add_argument("--only", type=int, metavar="NUMBER", help="one input of a kind, here")
    asked = parser.parse_args()
    chosen = [kind for kind in kinds() if asked.kind in (None, kind.name)]
    if asked.only is not None:
        print(*tried(chosen[0], [asked.only], asked.seed).broken or ["fine"], sep="\n")
        return 0
    print(f"{'kind':<12}{'inputs':>9}{'read':>9}{'refused':>9}{'broken':>8}{'slowest':>9}{'MB':>6}")
    broken: list[str] = []
    count = -(-asked.inputs // len(chosen))
    for kind in chosen:
        tally = measured(kind, count, asked.seed)
        broken += tally.broken
        print(
            f"{kind.name:<12}{count:>9,}{tally.read:>9,}{tally.refused:>9,}"
            f"{len(tally.broken):>8}{tally.slowest:>7.2f} s{tally.megabytes:>6.0f}",
            flush=True,
        )
    print(*broken[:20], sep="\n")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
