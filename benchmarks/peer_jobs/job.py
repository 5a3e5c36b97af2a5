"""The job that every peer does, and how it is measured; knows nothing but Python's own library.

Two hints and an answer: 32 examples forward, feedback on the first 2, new texts for 3 parameters.
A peer's file says how its library does that; it runs in an environment that has this library.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable

MODEL = "canned"
INSTRUCTIONS = {
    "hint_1": "Work out an intermediate step that helps solve the problem.",
    "hint_2": "Say what to look out for.",
    "answer": "Solve the problem.",
}
QUESTIONS = tuple(f"What is {n} + {n}?" for n in range(100, 132))
FAILURES = 2
FEEDBACK = "The output is wrong."
THREADS = 32
"""Examples at once, where a library asks for a number."""

Work = Callable[[], object]


def asked(values: dict[str, str]) -> str:
    """Return the message that shows the values of a node's predecessors."""
    return "\n".join(f"{name}: {value}" for name, value in values.items())


def measured(prepare: Callable[[str], Work]) -> None:
    """Import and declare, then do the job once; print what each took."""
    url = sys.argv[1]
    # Libraries that want a key look for one here.
    os.environ["OPENAI_API_KEY"] = "none"
    work = prepare(url)
    imported = time.process_time()
    began = time.monotonic()
    work()
    wall = time.monotonic() - began
    found = {
        "import": imported,
        "wall": wall,
        "cpu": time.process_time() - imported,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    print(json.dumps(found))
