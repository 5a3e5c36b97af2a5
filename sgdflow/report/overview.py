"""The part of a run's report that stands there without a click: what ran and how it went."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.etree.ElementTree import Element

from sgdflow.errors import listed, plural
from sgdflow.executor.means import unanswered_words
from sgdflow.records import SPLITS
from sgdflow.records.words import SELECTED, common_words, marked, returned_words
from sgdflow.report.chart import chart
from sgdflow.report.drawing import Mark, drawing
from sgdflow.report.findings import Blame, History, flags, growing, lines, size_of
from sgdflow.report.page import element, section, table
from sgdflow.report.reading import Record, Run, Shape
from sgdflow.update.select import Select

_NAMES = ("graph", "task", "method", "llm")


def title_of(run: Run, shape: Shape) -> str:
    """Return the run's name."""
    names = _names(run, shape)
    return f"{names['graph']} on {names['task']}, by {names['method']}"


def header(run: Run, shape: Shape) -> Element:
    """Return what ran and how it ended."""
    names = _names(run, shape)
    facts = [
        element("div", element("dt", key), element("dd", str(value)))
        for key, value in names.items()
    ]
    returned = returned_words(run.result or {})
    return element(
        "header",
        element("p", "sgdflow report", class_="kicker"),
        element("h1", title_of(run, shape)),
        element("dl", *facts, class_="facts"),
        element("p", _ending(run), class_="ending"),
        *(element("p", f"Returned: {words}.", class_="ending") for words in returned[:1]),
        *(element("p", f"Warning: {words}.", class_="warning") for words in returned[1:]),
    )


def scores(run: Run) -> Element | None:
    """Return a card for each split that has examples."""
    result = run.result
    if result is None:
        return None
    found = {split: result["scores"][split] for split in SPLITS}
    known = [(split, both) for split, both in found.items() if both["initial"] or both["final"]]
    if not known:
        return None
    cards = [_card(f"{split}{marked(split, result)}", both) for split, both in known]
    chosen = any(marked(split, result) for split, _ in known)
    return element(
        "div",
        element("div", *cards, class_="cards"),
        element("p", f"{SELECTED}.", class_="legend") if chosen else None,
    )


def changes(
    found: Mapping[str, History], title: str = "What changed", *said: Element | None
) -> Element:
    """Return what became of the texts, in words and in numbers, and which of them stayed."""
    changed = {name: one for name, one in found.items() if one.start not in (None, one.final)}
    kept = [name for name, one in found.items() if one.start == one.final]
    tags = {"equal": "span", "delete": "del", "insert": "ins"}
    texts = [
        element(
            "div",
            element("h3", name),
            element(
                "div",
                *(element(tags[op], part) for op, part in one.difference),
                class_="text",
            ),
        )
        for name, one in changed.items()
    ]
    stayed = element("p", f"As at the start: {listed(kept)}.", class_="legend") if kept else None
    return section(title, "changes", *said, *texts, _sizes(changed), stayed)


def _sizes(changed: Mapping[str, History]) -> Element | None:
    """Return how much of each changed text is new."""
    if not changed:
        return None
    header = ("words of", "before", "after", "added", "removed")
    sizes = [(name, size_of(one)) for name, one in changed.items()]
    rows = [
        (name, *map(str, (one.before, one.after, one.added, one.removed))) for name, one in sizes
    ]
    return table(header, rows, numbers=len(header) - 1)


def graph(shape: Shape, blames: Mapping[str, Blame], select: Select) -> Element:
    """Return the picture of the graph, coloured by blame."""
    most = max((blame.blamed for blame in blames.values()), default=0)
    marks = {name: Mark("input") for name in shape.inputs}
    for name, member in shape.nodes.items():
        blame = blames[name]
        marks[name] = Mark(
            "code" if member.code else "node",
            f"{blame.blamed} of {blame.gradients}" if blame.gradients else "no gradients",
            blame.blamed / most if most else 0.0,
            f"blamed by {blame.blamed} of {plural(blame.gradients, 'gradient')}; open its history",
            name == shape.output,
        )
    picture = drawing(shape.predecessors, marks, f"Graph {shape.name}")
    said = ", ".join(f'"{phrase}"' for phrase in (select.dismissive, *select.undecided))
    legend = (
        "The deeper the colour, the more blame: how many of the node's gradients ask for a change "
        "(they begin with CHANGE:, or with neither KEEP: nor UNCLEAR: and say none of "
        f"{said}), were not refuted by a trial and not passed on to a node before it, over all "
        "steps and the examples learned from. Choose a node for its texts, gradients and prompts."
    )
    scale = element("span", class_="scale", aria_hidden="true")
    return section(
        "Graph",
        "graph",
        element("div", picture, class_="scroll picture"),
        element("p", scale, legend, class_="legend"),
    )


def curve(run: Run) -> Element:
    """Return the scores over the steps."""
    shown = lines(run)
    keys = [element("li", element("i", class_=f"key {line.style}"), line.name) for line in shown]
    keys += [
        element("li", element("i", class_="key accepted"), "accepted proposal"),
        element("li", element("i", class_="key rejected"), "rejected proposal"),
    ]
    note = (
        "Lines: the current parameters after each step, with 95 % intervals. Marks: the proposal, "
        "as the gate scored it; point at one for the reason, or read the table below."
    )
    if growing(run):
        note += (
            " Training examples were scored only as far as a step needed them: the line of train "
            "is over those known by then, so that it may fall where the parameters got no worse."
        )
    return section(
        "Score over steps",
        "scores",
        element("div", chart(shown, flags(run), "Scores over steps"), class_="scroll picture"),
        element("ul", *keys, class_="keys"),
        element("p", note, class_="legend"),
    )


def steps(run: Run) -> Element:
    """Return the table of steps."""
    if not run.steps:
        return section("Steps", "steps", element("p", "No step was taken."))
    rows = [_step_row(step) for step in run.steps]
    header = ["step", "gate", "reason", "train", "candidate", "validation", "calls", "malformed"]
    return section("Steps", "steps", table(header, rows, numbers=5))


def spent(run: Run) -> Element:
    """Return calls, tokens and cost by role."""
    found = run.result or _of_steps(run)
    rows = [
        (
            role,
            f"{calls:,}",
            f"{found['tokens'][role]['prompt']:,}",
            f"{found['tokens'][role]['completion']:,}",
            _cost(found["cost"].get(role)),
        )
        for role, calls in found["calls"].items()
    ]
    note = None
    if run.result is None:
        note = element("p", "Of the steps alone: the run has no result yet.", class_="legend")
    columns = ["role", "calls", "prompt tokens", "completion tokens", "cost"]
    return section("Calls and cost", "spent", table(columns, rows, numbers=4), note)


def _names(run: Run, shape: Shape) -> dict[str, Any]:
    if run.result is not None:
        keys = (*_NAMES, "seed", "version")
        return {key: run.result[key] for key in keys}
    named = {key: _name(run.config.get(key)) for key in _NAMES}
    return {**named, "graph": shape.name, "seed": run.config.get("seed")}


def _name(group: Any) -> Any:
    return group.get("name", "?") if isinstance(group, Mapping) else "?"


def _ending(run: Run) -> str:
    if run.result is None:
        steps = plural(len(run.steps), "step")
        words = f"Not finished: this is what {steps} left."
    else:
        reason = str(run.result["stop_reason"])
        words = (
            f"Stopped after {plural(run.result['steps'], 'step')}, "
            f"{run.result['accepted']} accepted, "
            f"{run.result['seconds']:.1f} s. {reason[:1].upper()}{reason[1:]}."
        )
    missing = [name for name in run.missing if run.result is not None or name != "examples.jsonl"]
    return f"{words} Missing here: {', '.join(missing)}." if missing else words


def _card(label: str, both: Record) -> Element:
    first, last = both["initial"], both["final"]
    number = (first or last)["n"]
    small = f"{_interval(first)} → {_interval(last)}, {plural(number, 'example')}"
    more = _fewer(last) if last else []
    return element(
        "div",
        element("p", label, class_="label"),
        element("p", f"{_score(first)} → {_score(last)}", class_="big"),
        element("p", listed([small, *more, *common_words(both)]), class_="small"),
        class_="card",
    )


def _fewer(score: Record) -> list[str]:
    """Say which examples were not answered, and which have no score."""
    kinds, failed = score.get("unanswered"), score["failed"]
    told = [unanswered_words(kinds)] if kinds else []
    return [*told, f"{failed} failed"] if failed else told


def _step_row(step: Record) -> tuple[Element | str, ...]:
    accepted = step["accepted"]
    gate = element(
        "span",
        "accepted" if accepted else "rejected",
        class_=f"gate {'accepted' if accepted else 'rejected'}",
    )
    scored = step["scores"]
    return (
        str(step["step"]),
        gate,
        str(step["reason"]),
        *(_score(scored[name]) for name in ("train", "candidate", "validation")),
        f"{sum(step['calls'].values()):,}",
        str(step["malformed"]),
    )


def _score(score: Record | None) -> str:
    return "–" if score is None else f"{score['mean']:.3f}"  # noqa: RUF001


def _interval(score: Record | None) -> str:
    return "not scored" if score is None else f"{score['low']:.2f} to {score['high']:.2f}"


def _cost(cost: float | None) -> str:
    if cost is None:
        return "unknown"
    return f"${cost:.4f}" if cost else "$0"


def _of_steps(run: Run) -> Record:
    roles = sorted({role for step in run.steps for role in step["calls"]})
    return {
        "calls": {role: sum(step["calls"].get(role, 0) for step in run.steps) for role in roles},
        "tokens": {
            role: {
                kind: sum(step["tokens"].get(role, {}).get(kind, 0) for step in run.steps)
                for kind in ("prompt", "completion")
            }
            for role in roles
        },
        "cost": {},
    }
