"""`sgdflow show`: what a run made of its parameters, and how each step came about."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sgdflow.cli.arguments import Arguments
from sgdflow.config.build import build_graph, expand_graph
from sgdflow.config.documents import read_mapping
from sgdflow.config.project import look_here
from sgdflow.errors import ConfigError, plural
from sgdflow.prompting.templates import Prompts
from sgdflow.records import diff
from sgdflow.records.source import EXPORT, Source, as_written, read_source, read_steps
from sgdflow.records.tree import accepted, candidates, number_of, tree_lines
from sgdflow.records.trust import TRUST, Made, check_looking
from sgdflow.records.words import (
    as_text,
    returned_words,
    score_rows,
    score_words,
    step_words,
)
from sgdflow.runs.recorded import directory_of
from sgdflow.terminal import STYLES, Part, write

_INDENT = "    "


def show(words: Sequence[str]) -> int:
    """Print a run's parameters, before and after as one text, or one of its steps."""
    parser = Arguments("sgdflow show", description=show.__doc__)
    parser.add_argument("run", help="a run directory, or the id of a run in MLflow")
    parser.add_argument("overrides", nargs="*", help="such as tracking.uri=sqlite:///runs.db")
    parser.add_argument("--step", type=int, metavar="N", help="its proposal, decision, gradients")
    parser.add_argument("--trust", action="store_true", help=TRUST)
    asked = parser.parse_intermixed_args(words)
    with directory_of(asked.run, asked.overrides) as (path, others):
        if others:
            raise ConfigError(f"{others[0]}: show takes nothing but tracking.")
        if (path / EXPORT).is_file():
            raise ConfigError(f"{asked.run} is an exported folder: show takes a run.")
        source = read_source(path, Path.cwd())
        builds = not (path / "initial.yaml").is_file()
        made = Made.by_user(os.environ)
        if not asked.trust:
            check_looking(asked.run, path, source.config, made, generates=builds)
        if builds and (asked.trust or made.knows(source.config)):
            look_here(Path.cwd())
        with as_written(asked.run):
            steps = read_steps(path / "steps.jsonl")
            start = _initial(source)
            if asked.step is None:
                parts = list(_run(source, start, steps, asked.run))
            else:
                parts = list(_step(_numbered(steps, asked.step, asked.run), steps, start))
    write(parts)
    return 0


def _initial(source: Source) -> Mapping[str, Any]:
    if (source.path / "initial.yaml").is_file():
        return read_mapping(source.path / "initial.yaml")
    graph = expand_graph(source.config.get("graph"))
    return build_graph(graph, Prompts(source.prompts)).initial()


def _run(
    source: Source, start: Mapping[str, Any], steps: Sequence[Mapping[str, Any]], name: str
) -> Iterator[Part]:
    config, result = source.config, source.path / "result.json"
    ended = read_mapping(result) if result.is_file() else None
    yield Part(f"{name}", "title")
    names = [str(config.get(group, {}).get("name")) for group in ("method", "graph", "task", "llm")]
    yield Part(f"  {', '.join(names)}, seed {config.get('seed')}\n")
    yield Part(f"{plural(len(steps), 'step')}, {accepted(steps)} accepted. ")
    if ended is None:
        yield Part("No result: the run is under way, was stopped or failed.\n")
    else:
        yield Part(f"Ended by {ended['stop_reason']}.\n")
        yield from (Part(f"{row}\n") for row in score_rows(ended))
        yield from (Part(f"  returned    {words}\n") for words in returned_words(ended))
    for parameter, text in source.parameters.items():
        yield Part(f"\n{parameter}", "title")
        yield from _changed(start.get(parameter, ""), text)
    if steps:
        yield Part("\nSteps:\n", "title")
        yield from (Part(f"  {step_words(step)}\n") for step in steps)
        found = candidates(steps, start)
        if len(found) > 1:
            yield Part("\nCandidates:\n", "title")
            chosen = number_of(found, source.parameters)
            yield from (Part(f"  {line}\n") for line in tree_lines(found, chosen))
        yield Part(f"One of them: sgdflow show {name} --step {steps[-1]['step']}\n", "quiet")


def _numbered(steps: Sequence[Mapping[str, Any]], number: int, name: str) -> Mapping[str, Any]:
    for step in steps:
        if step["step"] == number:
            return step
    has = f"steps 1 to {steps[-1]['step']}" if steps else "no steps"
    raise ConfigError(f"--step {number}: {name} has {has}.")


def _step(
    step: Mapping[str, Any], steps: Sequence[Mapping[str, Any]], start: Mapping[str, Any]
) -> Iterator[Part]:
    stood = _stood(step, steps, start)
    yield Part(f"{step_words(step)}\n", "title")
    for what in ("train", "candidate", "validation"):
        if score := step["scores"].get(what):
            yield Part(f"  {what:<11} {score_words(score)}\n")
    for parameter, text in step["proposal"].items():
        yield Part(f"\n{parameter}", "title")
        yield from _cause(step, parameter)
        yield from _changed(stood.get(parameter, ""), text)
    for parameter, reason in step["skipped"].items():
        yield Part(f"\n{parameter}", "title")
        yield Part(f"  no new text: {reason}\n")
    yield from _others(step)
    for example in step["sampled"]:
        yield from _example(example)


def _others(step: Mapping[str, Any]) -> Iterator[Part]:
    """Yield what each further proposal of a step was to mend, and what became of it."""
    told = [one for one in step.get("others", ()) if one.get("causes")]
    for one in told:
        verdict = "accepted" if one["accepted"] else "rejected"
        yield Part(f"\nAnother proposal, {verdict}: {one['reason']}", "title")
        for parameter in one["causes"]:
            yield Part(f"\n  {parameter}")
            yield from _cause(one, parameter)
        yield Part("\n")


def _cause(proposal: Mapping[str, Any], parameter: str) -> Iterator[Part]:
    """Yield what a new text was to mend, where a step told causes apart."""
    if cause := proposal.get("causes", {}).get(parameter):
        behind = plural(len(cause["examples"]), "example")
        yield Part(f"\n  to mend, of {behind}: {cause['words']}", "quiet")


def _stood(
    step: Mapping[str, Any], steps: Sequence[Mapping[str, Any]], start: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Return the parameters that a step's proposal was made from."""
    before = steps[: steps.index(step)]
    for grown in candidates([*before, step], start):
        if grown.number == step["from"][0]:
            return grown.parameters
    # The lines of earlier versions do not tell of candidates: there was one at a time.
    stood = dict(start)
    for one in before:
        if one["accepted"]:
            stood |= one["proposal"]
    return stood


def _example(example: Mapping[str, Any]) -> Iterator[Part]:
    yield Part(f"\nexample {example['example']}, score {example['score']:.3g}\n", "title")
    if why := example.get("unanswered"):
        yield from _told(f"unanswered, {why['node']}: {why['kind']}:", why["reason"])
    for variable, value in example["values"].items():
        yield from _told(f"{variable} =", value)
    if example["feedback"] is not None:
        yield from _told("feedback:", example["feedback"])
    for variable, arrived in example["gradients"].items():
        for gradient in arrived:
            yield from _told(
                f"gradient of {variable}, from {gradient['source']}:", gradient["value"]
            )
    for variable, reason in example["failures"].items():
        yield from _told(f"{variable} failed:", reason)


def _told(what: str, value: Any) -> Iterator[Part]:
    yield Part(f"  {what}\n", "quiet")
    yield Part(_indented(as_text(value)) + "\n")


def _changed(old: Any, new: Any) -> Iterator[Part]:
    """Yield a parameter's text, with what has changed since."""
    if old == new:
        yield Part("  unchanged\n", "quiet")
        yield Part(_indented(str(new)) + "\n")
        return
    yield Part("\n" + _INDENT)
    for change, text in diff.words(str(old), str(new)):
        yield Part(text.replace("\n", "\n" + _INDENT), STYLES[change])
    yield Part("\n")


def _indented(text: str) -> str:
    return textwrap.indent(text, _INDENT, lambda line: True)
