"""Measures the report of a large run: `PYTHONPATH=.:tests python benchmarks/report.py [SAMPLED]`.

50 nodes, 50 steps, 100 examples, of which SAMPLED (8) are learned from in each step.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from browser import browser, why_not
from run_directories import Directory

from sgdflow.report import write

_TEXT = "Work out an intermediate step that helps solve the problem, and say what it rests on. "
_TIMING = "const t = performance.getEntriesByType('navigation')[0]; return t.loadEventEnd"
_OPEN = """
const began = performance.now();
document.querySelectorAll('[data-node]')[7].dispatchEvent(new Event('click'));
document.getElementById('panel').getBoundingClientRect();
const shown = performance.now();
document.querySelector('details.calls').open = true;
return new Promise((done) => setTimeout(() => done([shown - began, performance.now() - shown]), 0));
"""


def main() -> None:
    """Make a run, write its report and open it."""
    sampled = int(sys.argv[1]) if len(sys.argv) > 1 else 8
    with tempfile.TemporaryDirectory() as folder:
        made = Directory(Path(folder), depth=11, width=5, text=_TEXT * 4)
        steps = (made.step(i, sampled, accepted=i % 3 > 0) for i in range(1, 51))
        calls = (made.calls(i, sampled) for i in range(1, 51))
        made.write(steps, calls, examples=100)
        sizes = {p.name: f"{p.stat().st_size / 1e6:.1f} MB" for p in Path(folder).iterdir()}
        began = time.perf_counter()
        file = write(Path(folder), lambda declared: declared)
        print(f"{len(made.nodes)} nodes, 50 steps, {sampled} examples a step: {sizes}")
        print(f"written in {time.perf_counter() - began:.1f} s, {file.stat().st_size / 1e6:.1f} MB")
        if missing := why_not():
            print(missing)
            return
        with browser() as window:
            window.open(file)
            print(f"loaded in {window.run(_TIMING) / 1000:.2f} s")
            panel, prompt = window.run(_OPEN)
            print(f"a node opens in {panel:.0f} ms, the first prompt in {prompt:.0f} ms")


if __name__ == "__main__":
    main()
