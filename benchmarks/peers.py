"""The same small job in sgdflow and in others, each in an environment of its own, in turns.

`python benchmarks/peers.py --environments DIR` finds each library's environment below DIR, and
makes what is missing there from the package registry (`make bench-peers`). `benchmarks/peer_jobs/`
says how each library does the job: two hints and an answer, 32 examples, feedback on 2 of them,
new texts for 3 parameters, against an endpoint that takes 0.1 s a call. The ideal is the longest
chain of calls of which each needs the one before.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from measure import HERE, said, serving

_LATENCY = 0.1
_HEADS = (
    "calls",
    "wall s",
    "ideal s",
    "wall / ideal (best)",
    "CPU ms a call",
    "at once, at most",
    "MB",
    "CPU s before the job",
    "first call after s",
)
_SECTIONS = {
    "hint_1": "Add.",
    "hint_2": "Add.",
    "answer": "42",
    "proposed_instruction": "Solve it with care.",
    "proposed_prefix_for_output_field": "Answer:",
    "completed": "",
}
_SUGGESTION = {f"{name}_text0": "Solve it with care." for name in ("hint_1", "hint_2", "answer")}


@dataclass(frozen=True, slots=True)
class Peer:
    """A library, and what it is told."""

    job: str
    path: int
    """Calls of the longest chain."""
    requirement: str = ""
    """What is installed; empty: nothing, sgdflow's own environment has it."""
    text: str = ""
    """In the form that it wants for texts of all kinds; empty: the endpoint's own."""


PEERS: Mapping[str, Peer] = {
    # hint, answer, gradient, new text
    "aiohttp by hand": Peer("floor", 4),
    "sgdflow": Peer("sgdflow", 4),
    # hint, answer, new text: no feedback goes backward
    "DSPy": Peer(
        "dspy",
        3,
        "dspy==3.4.1",
        "\n\n".join(f"[[ ## {name} ## ]]\n{text}" for name, text in _SECTIONS.items()),
    ),
    # hint, answer, loss, gradient of a hint, gradient of its instruction, new text
    "TextGrad": Peer(
        "textgrad",
        6,
        "textgrad==0.1.8",
        "42 <IMPROVED_VARIABLE>Solve it with care.</IMPROVED_VARIABLE>",
    ),
    # hint, answer, one call for everything else
    "Trace": Peer(
        "trace",
        3,
        "trace-opt==0.1.3.8",
        json.dumps({"reasoning": "", "answer": "", "suggestion": _SUGGESTION}),
    ),
    # hint, answer, gradient of the answer, of a hint, of its instruction, new text
    "AdalFlow": Peer(
        "adalflow",
        6,
        "adalflow[openai]==1.1.3",
        "<response><reasoning>r</reasoning><method>m</method>"
        "<proposed_variable>Solve it with care.</proposed_variable></response>",
    ),
}


def main() -> None:
    """Measure all in turns, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--environments", type=Path, default=HERE.parent / ".venv-peers")
    parser.add_argument("names", nargs="*", help=f"of {', '.join(PEERS)}")
    given = parser.parse_args()
    names = given.names or [*PEERS]
    pythons = {name: _python(PEERS[name], given.environments) for name in names}
    found: dict[str, list[Mapping[str, float]]] = {name: [] for name in names}
    for _ in range(given.times):
        for name in names:
            found[name].append(_measured(PEERS[name], pythons[name]))
    print(f"{_LATENCY:g} s a call, {given.times} fresh processes each, in turns\n")
    print(f"| | {' | '.join(_HEADS)} |\n|{' --- |' * (len(_HEADS) + 1)}")
    for name in names:
        print(f"| {name} | {' | '.join(_cells(PEERS[name], found[name]))} |")


def _python(peer: Peer, environments: Path) -> str:
    """Return the Python of a library's environment, which is made where there is none."""
    if not peer.requirement:
        return sys.executable
    folder = environments / peer.job
    if not (folder / ".installed").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "-q"]
        subprocess.run([*pip, "--disable-pip-version-check", peer.requirement], check=True)
        (folder / ".installed").touch()
    return str(folder / "bin" / "python")


def _measured(peer: Peer, python: str) -> Mapping[str, float]:
    job = HERE / "peer_jobs" / f"{peer.job}_job.py"
    with TemporaryDirectory() as place, serving(_LATENCY, *filter(None, [peer.text])) as served:
        began = time.monotonic()
        run = subprocess.run(
            [python, str(job), served.url],
            cwd=place,
            env=_environment(),
            capture_output=True,
            check=False,
        )
        if run.returncode:
            raise SystemExit(f"{job.name} failed:\n{run.stderr.decode()[-2000:]}")
    measured: Mapping[str, float] = json.loads(run.stdout.splitlines()[-1])
    return {**served.seen, **measured, "start": served.seen["first"] - began}


def _environment() -> Mapping[str, str]:
    """Return what lets all of them start without the network."""
    spec = find_spec("litellm")
    assert spec is not None
    assert spec.origin is not None
    tokenizers = Path(spec.origin).parent / "litellm_core_utils" / "tokenizers"
    return {
        **os.environ,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "TIKTOKEN_CACHE_DIR": str(tokenizers),
    }


def _cells(peer: Peer, found: Sequence[Mapping[str, float]]) -> Sequence[str]:
    def of(key: str, form: str = ".2f", times: float = 1) -> str:
        return said([times * one[key] for one in found], form)

    ideal, calls = peer.path * _LATENCY, found[0]["requests"]
    walls = [one["wall"] for one in found]
    return (
        f"{calls:.0f}",
        of("wall"),
        f"{ideal:.1f}",
        f"{median(walls) / ideal:.1f} ({min(walls) / ideal:.1f})",
        of("cpu", times=1000 / calls),
        f"{max(one['most_at_once'] for one in found):.0f}",
        f"{median(one['memory'] for one in found):.0f}",
        of("import"),
        of("start"),
    )


if __name__ == "__main__":
    main()
