"""What a probe found, in words for a person."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sgdflow.errors import listed, plural
from sgdflow.probe.advice import kinds, points
from sgdflow.probe.findings import Advice, Findings, Noise, Pair, Sight, Start


def probe_words(
    found: Findings, advice: Advice, cost: Mapping[str, Any], most: int
) -> Iterator[str]:
    """Yield the findings and the recommendation, line by line; `cost` is that of the record."""
    yield f"Probed with {plural(found.calls, 'call')} of at most {most:,}."
    yield f"  start       {_start(found.start)}"
    yield f"  form        {_form(found.start)}"
    yield f"  noise       {_noise(found.noise)}"
    yield from (f"  nodes       {words}" for words in _pairs(found.pairs))
    if not found.pairs:
        yield "  nodes       fewer than two have texts that may change: nothing can interact"
    yield from (f"  evaluation  {_sight(sight)}" for sight in found.sights)
    if not found.sights:
        yield "  evaluation  nothing is tested: method.confirm=null, or too few validation examples"
    if found.luck is not None:
        yield f"  gate        lets what changes nothing pass with probability {found.luck:.2f}"
    yield f"  cost        {_cost(cost)}"
    yield f"{advice.verdict[:1].upper()}{advice.verdict[1:]}, because {advice.because}."
    yield from (f"  {one.key}={one.value}: {one.why}" for one in advice.settings)


def _start(start: Start) -> str:
    words = f"{start.mean:.3f} ({start.low:.2f} to {start.high:.2f}, "
    words += f"{plural(start.examples, 'training example')})"
    words += f": {points(start.lacking)} are lacking"
    return f"{words}; {plural(start.failed, 'example')} failed" if start.failed else words


def _form(start: Start) -> str:
    if not start.lacking:
        return "nothing is lacking"
    if start.unreadable:
        count = plural(sum(start.unreadable.values()), "answer")
        return f"{start.form:.0%} of what is lacking: {count} unreadable ({kinds(start)})"
    if not start.readable:
        return "it is not known how this scorer reads answers; none was cut off or malformed"
    return "every answer could be read"


def _noise(noise: Noise | None) -> str:
    if noise is None:
        return "not measured (probe.again, probe.calls)"
    asked = f"{plural(noise.examples, 'example')} answered twice"
    if not noise.moved and not any(differed for differed, _ in noise.nodes.values()):
        return f"{asked}: the same each time"
    told = [
        f"{name} {differed} of {compared}"
        for name, (differed, compared) in noise.nodes.items()
        if differed
    ]
    words = f"{asked}: {plural(noise.moved, 'score')} changed"
    if noise.wrong:
        words += f", {noise.lucky} of {noise.wrong} wrong then right"
    return f"{words}; other values from equal ones: {listed(told)}" if told else words


def _pairs(pairs: Sequence[Pair]) -> Iterator[str]:
    """Yield a line for each pair that was tried, and for each reason why others were not."""
    reasons: dict[str, list[str]] = {}
    for pair in pairs:
        if pair.verdict != "not tried":
            yield _pair(pair)
            continue
        reasons.setdefault(pair.why, []).append(_name(pair))
    for why, names in reasons.items():
        yield f"{listed(names)}: not tried: {why}"


def _name(pair: Pair) -> str:
    return " x ".join(pair.nodes)


def _pair(pair: Pair) -> str:
    name = _name(pair)
    on = f"on {plural(pair.examples, 'example')}"
    gains = f"alone {pair.alone[0]:+.3f} and {pair.alone[1]:+.3f}, together {pair.both:+.3f}"
    rest = f"may interact on {pair.at_most:.0%} of examples at most"
    match pair.verdict:
        case "interact":
            return f"{name}: interact ({gains}; {pair.unlike} differ {on}, p = {pair.p:.2g})"
        case "add up":
            return f"{name}: their effects add up {on} ({gains}); {rest}"
        case "cannot be told":
            return f"{name}: cannot be told ({gains}; {pair.unlike} differ {on}, p = {pair.p:.2g})"
    return f"{name}: no wording moved a score {on}; {rest}"


def _sight(sight: Sight) -> str:
    part = "validation" if sight.by == "confirm" else "compared"
    words = (
        f"{plural(sight.examples, f'{part} example')} show {points(sight.gain)} with probability "
        f"{sight.power:.2f} (level {sight.level:.2g})"
    )
    least = "no gain is" if sight.visible is None else f"{points(sight.visible)} are"
    words += f"; {least} shown reliably"
    return f"{words}; {sight.needed:,} would be enough" if sight.needed else words


def _cost(cost: Mapping[str, Any]) -> str:
    expected = cost["expected"]
    price = "cost unknown" if expected["cost"] is None else f"${expected['cost']:,.4g}"
    return f"a run takes about {plural(expected['calls'], 'call')} ({expected['name']}), {price}"
