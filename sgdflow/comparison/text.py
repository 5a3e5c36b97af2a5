"""A comparison in words: as text and as Markdown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from textwrap import TextWrapper

from sgdflow.comparison import worth
from sgdflow.comparison.averages import Cell, PairedRow
from sgdflow.comparison.outcomes import Goal, label, roles
from sgdflow.comparison.paper import CAVEAT
from sgdflow.comparison.statistics import Estimate, smallest_p
from sgdflow.comparison.table import Comparison
from sgdflow.errors import plural

_WRAPPED = TextWrapper(
    width=100,
    initial_indent="  ",
    subsequent_indent="  ",
    break_long_words=False,
    break_on_hyphens=False,
)
_ABSENT = "-"
_SIGNIFICANT = 0.05


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, a table and lines below it; each may be empty."""

    title: str
    header: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    lines: tuple[str, ...] = ()


def sections_of(comparison: Comparison) -> Iterator[Section]:
    """Return everything there is to say, in reading order."""
    runs = len(comparison.outcomes) + len(comparison.left_out)
    counted = f"{len(comparison.outcomes)} of {plural(runs, 'run')}"
    yield Section(f"{comparison.title}: {counted}")
    if comparison.column_keys:
        yield _overview(comparison)
    yield _details(comparison)
    if shown := tuple(worth.rows(comparison)):
        header = (", ".join(comparison.row_keys), *worth.HEADER)
        yield Section("What the runs could show", header, shown, tuple(worth.lines(comparison)))
    if comparison.against is not None:
        yield _differences(comparison)
    if comparison.ablations:
        yield _ablation(comparison)
    if comparison.left_out:
        yield _left_out(comparison)
    if comparison.notes:
        yield Section("Mind", lines=comparison.notes)


def _overview(comparison: Comparison) -> Section:
    cells, by = (
        comparison.cells,
        [", ".join(comparison.row_keys), ", ".join(comparison.column_keys)],
    )
    table = [
        [_score(cells.get((row, column))) for column in comparison.columns]
        for row in comparison.rows
    ]
    down, across = comparison.rows, comparison.columns
    if comparison.turned:
        table, down, across = [list(line) for line in zip(*table, strict=True)], across, down
        by.reverse()
    rows = ((label(values), *words) for values, words in zip(down, table, strict=True))
    header = (by[0], *(label(values) for values in across))
    return Section(f"Final {comparison.split} score by {by[1]}", header, tuple(rows))


def _details(comparison: Comparison) -> Section:
    named = roles(comparison.outcomes)
    keyed = [", ".join(keys) for keys in (comparison.row_keys, comparison.column_keys) if keys]
    header = [*keyed, f"{comparison.split} score", *(f"{role} calls" for role in named)]
    header += ["tokens", "cost", "seconds"]
    lines = ["Scores: mean over seeds, 95 % interval, n seeds. The rest: means per run."]
    if any(cell.failed for cell in comparison.cells.values()):
        lines.append(
            "Failed: examples of these runs without a score; a run's mean is over the others, so "
            "that these means are over different examples."
        )
    if comparison.goal:
        header.append(f"calls to {comparison.goal.score:g}")
        lines.append(_goal_words(comparison.goal))
    rows = []
    for row in comparison.rows:
        for column in comparison.columns:
            if cell := comparison.cells.get((row, column)):
                words = [label(values) for values in (row, column) if values]
                words += [_score(cell), *(_count(cell.calls.get(role)) for role in named)]
                words += [_count(cell.tokens), _cost(cell), _seconds(cell.seconds)]
                rows.append((*words, *([_reached(cell)] if comparison.goal else [])))
    return Section("Scores and spending", tuple(header), tuple(rows), tuple(lines))


def _goal_words(goal: Goal) -> str:
    return (
        f"Calls to {goal.score:g}: calls of all roles in the steps (without the scoring before the "
        f"first) until the {goal.split} score first reached it; the median over runs, where never "
        "is later than any number."
    )


def _differences(comparison: Comparison) -> Section:
    against = label(comparison.against or ())
    header = (", ".join(comparison.row_keys), "difference", "pairs", "unpaired", "p", "p (Holm)")
    rows = [(label(one.row), *_difference(one)) for one in comparison.paired]
    keys = ", ".join(comparison.pair_keys)
    lines = [
        f"Mean of row minus {against} over pairs with the same {keys}; 95 % interval; two-sided "
        "sign-flip permutation test, corrected for the number of rows (Holm)."
    ]
    found = [one.difference for one in comparison.paired if one.difference]
    if any(not difference.exact for difference in found):
        lines.append("~: from 99,999 random sign flips, not all.")
    lines += _over_what(comparison)
    few = [d.estimate.n for d in found if d.p is not None and _powerless(d.estimate.n)]
    if few:
        lines.append(
            f"{min(few)} pairs cannot give a p below {smallest_p(min(few)):.3g}, however large "
            "the difference: more seeds are needed."
        )
    title = f"Against {against}, paired"
    return Section(title, header, tuple(rows), tuple(lines if rows else ["There is no other row."]))


def _over_what(comparison: Comparison) -> Iterator[str]:
    """Say where pairs do not have all examples in common."""
    fewer = sum(one.fewer for one in comparison.paired)
    apart = sum(one.apart for one in comparison.paired)
    if fewer:
        yield (
            f"{plural(fewer, 'pair')} {'is' if fewer == 1 else 'are'} compared over the examples "
            "that both runs scored, which are fewer than their own."
        )
    if apart:
        yield (
            f"{plural(apart, 'pair')} {'is' if apart == 1 else 'are'} not compared: no example is "
            "known to have been scored by both runs."
        )


def _powerless(pairs: int) -> bool:
    return smallest_p(pairs) > _SIGNIFICANT


def _difference(one: PairedRow) -> tuple[str, ...]:
    unpaired = str(one.unpaired + one.apart)
    if one.difference is None:
        return ("no pairs", "0", unpaired, _ABSENT, _ABSENT)
    found = one.difference
    sign = "" if found.exact else "~"
    values = [f"{sign}{_p(p)}" if p is not None else _ABSENT for p in (found.p, one.corrected)]
    return (_estimate(found.estimate, "+.3f", "+.2f"), str(found.estimate.n), unpaired, *values)


def _ablation(comparison: Comparison) -> Section:
    rows = []
    for one in comparison.ablations:
        paper = "not available to us" if one.published is None else f"{one.published:.3f}"
        rows.append((one.variant, paper, _score(one.cell) if one.cell else "not run"))
    caveat = CAVEAT.format(split=comparison.split)
    return Section(
        "LIAR: the paper's ablation", ("variant", "paper", "ours"), tuple(rows), (caveat,)
    )


def _left_out(comparison: Comparison) -> Section:
    lines = [f"{one.run.name} ({one.run.id[:8]}) {one.why}" for one in comparison.left_out]
    runs = f"{plural(len(lines), 'run')} {'is' if len(lines) == 1 else 'are'}"
    return Section(f"{runs} not counted", lines=tuple(lines))


def _score(cell: Cell | None) -> str:
    if cell is None:
        return _ABSENT
    failed = f", {cell.failed} failed" if cell.failed else ""
    return f"{_estimate(cell.score, '.3f', '.2f')} n={cell.score.n}{failed}"


def _estimate(found: Estimate, form: str, bounds: str) -> str:
    if found.low is None or found.high is None:
        return f"{found.mean:{form}}"
    if found.flat:
        return f"{found.mean:{form}} (all equal)"
    return f"{found.mean:{form}} ({found.low:{bounds}} to {found.high:{bounds}})"


def _count(value: float | None) -> str:
    """Write a number of calls or tokens."""
    if value is None:
        return _ABSENT
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.1f}"


def _reached(cell: Cell) -> str:
    """Say when the goal was reached, and how many runs never did."""
    never = cell.runs - cell.reached
    words = [_count(cell.to_reach)] if cell.to_reach is not None else []
    return ", ".join([*words, *([f"never ({never} of {cell.runs})"] if never else [])])


def _cost(cell: Cell) -> str:
    if cell.cost is None:
        return "unknown"
    known = f" ({cell.priced} of {cell.runs} known)" if cell.priced < cell.runs else ""
    return f"${cell.cost:.4f}{known}" if cell.cost else f"$0{known}"


def _seconds(value: float | None) -> str:
    return _ABSENT if value is None else f"{value:.1f}"


def _p(value: float) -> str:
    return "<0.0001" if value < 0.0001 else f"{value:.4f}"


def as_text(comparison: Comparison) -> str:
    """Return what is printed."""
    return "\n\n".join(_as_text(section) for section in sections_of(comparison)) + "\n"


def as_markdown(comparison: Comparison) -> str:
    """Return the same as Markdown."""
    first, *others = sections_of(comparison)
    parts = [f"# {_escaped(first.title)}", *(_as_markdown(section) for section in others)]
    return "\n\n".join(parts) + "\n"


def _as_text(section: Section) -> str:
    lines = [section.title]
    if section.rows:
        table = (section.header, *section.rows)
        widths = [max(len(row[i]) for row in table) for i in range(len(section.header))]
        filled = ["  ".join(w.ljust(n) for w, n in zip(r, widths, strict=True)) for r in table]
        rule = "  ".join("-" * width for width in widths)
        lines += [line.rstrip() for line in (filled[0], rule, *filled[1:])]
    lines += [_WRAPPED.fill(line) for line in section.lines]
    return "\n".join(lines)


def _as_markdown(section: Section) -> str:
    parts = [f"## {_escaped(section.title)}"]
    if section.rows:
        table = [section.header, ["---"] * len(section.header), *section.rows]
        rows = ([w if w == "---" else _escaped(w) for w in row] for row in table)
        parts.append("\n".join(f"| {' | '.join(row)} |" for row in rows))
    if section.lines:
        parts.append("\n".join(f"- {_escaped(line)}" for line in section.lines))
    return "\n\n".join(parts)


def _escaped(text: str) -> str:
    """Keep what a configuration value holds from being read as Markdown or HTML."""
    for character in "\\`*_[]|~$":
        text = text.replace(character, f"\\{character}")
    return text.replace("&", "&amp;").replace("<", "&lt;")
