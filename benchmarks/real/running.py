"""What the measurements with a real model share: the command line, and exact paired tests."""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
from collections.abc import Sequence
from math import comb
from pathlib import Path
from typing import Any

from sgdflow.data import liar

LIAR_PARTS = ("train.tsv", "valid.tsv", "test.tsv")


class Words(argparse.Namespace):
    """The options, and what they mean as words of `sgdflow`."""

    url: str
    model: str
    writer_url: str | None
    writer: str | None
    tokens: int
    concurrency: int
    tried: int
    more: list[str]

    @property
    def model_words(self) -> list[str]:
        """Return who plays which role."""
        words = [
            "llm=vllm",
            f"llm.api_base={self.url}",
            f"llm.parameters.max_tokens={self.tokens}",
            f"llm.limits.concurrency={self.concurrency}",
            "llm.limits.timeout=1200",
        ]
        for role in ("forward", "backward", "optimizer"):
            words.append(f"llm.models.{role}=hosted_vllm/{self.model}")
        if self.writer_url:
            writer = f"{{model: hosted_vllm/{self.writer}, api_base: '{self.writer_url}'}}"
            words = [w for w in words if not w.startswith(("llm.models.b", "llm.models.o"))]
            words += [f"llm.models.{role}={writer}" for role in ("backward", "optimizer")]
        return [*words, *self.more]


def settings(parser: argparse.ArgumentParser) -> None:
    """Add the options that all measurements have."""
    parser.add_argument("--url", required=True, help="address of an OpenAI-compatible server")
    parser.add_argument("--model", default="model")
    parser.add_argument("--writer-url", help="another server for backward and rewrite prompts")
    parser.add_argument("--writer", default="writer")
    parser.add_argument(
        "--data", required=True, help="folder of BIG-Bench Hard's JSON files, or of LIAR's"
    )
    parser.add_argument("--tried", type=int, default=25, help="first items, for start.py alone")
    parser.add_argument("--tasks", default="boolean_expressions,navigate,sports_understanding")
    parser.add_argument("--tokens", type=int, default=400, help="most tokens a reply may have")
    parser.add_argument("--concurrency", type=int, default=4)
    parser.add_argument("--more", nargs="*", default=[], help="further words of sgdflow")


def share(data: str, task: str, first: int, count: int, into: Path) -> Path:
    """Write a task's items first to first + count, in one fixed order, as a folder of data."""
    whole = json.loads((Path(data) / f"{task}.json").read_text(encoding="utf-8"))
    items = random.Random(task).sample(whole["examples"], len(whole["examples"]))
    if first + count > len(items):
        sys.exit(
            f"{task} has {len(items)} items, {first + count} are asked for: fewer seeds or items"
        )
    into.mkdir(parents=True, exist_ok=True)
    whole["examples"] = items[first : first + count]
    (into / f"{task}.json").write_text(json.dumps(whole), encoding="utf-8")
    return into.absolute()


def share_of_liar(data: str, first: Sequence[int], counts: Sequence[int], into: Path) -> Path:
    """Write some of LIAR's usable rows, in one fixed order, as a folder of data.

    From each of its three files: `counts` of them, after the `first` ones.
    """
    pools = liar(data)
    into.mkdir(parents=True, exist_ok=True)
    parts = (pools.train, pools.validation, pools.test)
    for file, pool, begin, count in zip(LIAR_PARTS, parts, first, counts, strict=True):
        names = [example.id for example in pool]
        random.Random(file).shuffle(names)
        if begin + count > len(names):
            sys.exit(f"{file} has {len(names)} usable rows, {begin + count} are asked for")
        taken = set(names[begin : begin + count])
        lines = (Path(data) / file).read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [one for one in lines if f"liar/{one.split('.json')[0]}" in taken]
        (into / file).write_text("".join(kept), encoding="utf-8")
    return into.absolute()


def run(words: Sequence[str]) -> None:
    """Run one command of sgdflow, which says on standard error why it ends this script, too."""
    here = os.environ | {"SGDFLOW_PROJECT": str(Path(__file__).parent.absolute())}
    command = [sys.executable, "-m", "sgdflow", *words]
    if code := subprocess.run(command, check=False, stdout=sys.stderr, env=here).returncode:
        sys.exit(code)


def reasked(record: dict[str, Any]) -> int:
    """Return how many replies could not be read and were asked for again."""
    return int(record.get("faults", {}).get("malformed", 0))


def exact(better: int, worse: int) -> float:
    """Return the two-sided p value of a sign test on pairs that differ."""
    n, k = better + worse, min(better, worse)
    return min(1.0, 2 * sum(comb(n, i) for i in range(k + 1)) / 2**n) if n else 1.0
