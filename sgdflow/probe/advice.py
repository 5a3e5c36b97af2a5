"""Whether to run, and with which settings; the rules stand in docs/probe.md."""

from __future__ import annotations

import math
from collections.abc import Iterator

from sgdflow.config.prepare import Prepared
from sgdflow.errors import listed, plural
from sgdflow.executor.forward import forward_roles
from sgdflow.probe.findings import Advice, Findings, Setting, Sight, Start
from sgdflow.probe.sight import wanting
from sgdflow.simulation.backend import GUESSES

_MOSTLY = 0.5
"""Share of what is lacking from which on it is called a matter of form."""
_FEWEST_WRONG = 3
"""Wrong answers that say together that they are wrong by luck."""
_MOST_REPEATS = 5
_SURE = 0.05
"""How likely a text that spoils as much as is to be gained may spoil nothing of the guard."""


def advise(prepared: Prepared, found: Findings) -> Advice:
    """Return the recommendation."""
    if why := _not_worth_it(prepared, found):
        return Advice("not worth it", why)
    start = found.start
    if start.form >= _MOSTLY:
        return Advice(
            "not yet",
            f"{start.form:.0%} of what is lacking is form ({kinds(start)}), which no text has to "
            f"be learned for. Mend that first{_with(start.advice)} Then probe again",
        )
    settings = tuple(_settings(prepared, found))
    if unseen := _unseen(found):
        return Advice("not yet", unseen, settings)
    least = 1 - start.high
    why = f"{points(start.lacking)} are lacking ({100 * least:.0f} to {100 * start.most:.0f})"
    why += f", {start.form:.0%} of it form" if start.form else ""
    return Advice("worth a run", why, settings)


def points(share: float) -> str:
    """Return a difference of scores in words: "12.5 points"."""
    value = round(100 * share, 1)
    return "1 point" if value == 1 else f"{value:g} points"


def kinds(start: Start) -> str:
    """Return the kinds of answers that could not be read, with their numbers."""
    return listed(f"{kind} {count}" for kind, count in start.unreadable.items())


def _with(advice: str) -> str:
    return f": {advice}" if advice else "."


def _not_worth_it(prepared: Prepared, found: Findings) -> str:
    start, noise, gain = found.start, found.noise, prepared.config.probe.gain
    most = f"with 95 % certainty at most {points(start.most)} can be gained"
    if found.guessed:
        return f"{GUESSES} to find out"
    if start.lacking <= 0:
        answers = "the only answer is" if start.examples == 1 else "all answers are"
        return f"{answers} right ({plural(start.examples, 'training example')}); {most}"
    if start.most < gain:
        return f"{most}, less than the {points(gain)} that were asked for (probe.gain)"
    if noise and noise.wrong >= _FEWEST_WRONG and noise.lucky == noise.wrong:
        return (
            f"what is wrong is so by luck: all {plural(noise.wrong, 'wrong answer')} that were "
            "asked for again were right then. A lower temperature "
            "(llm.models.forward.parameters.temperature) or a vote (graph.forward.samples) helps "
            "with that, another text hardly"
        )
    sight = _decisive(found)
    if sight and sight.needed is None:
        return (
            f"not even ten thousand examples would show a gain of {points(sight.gain)} beside "
            "what noise and losses move (probe.losses)"
        )
    return ""


def _decisive(found: Findings) -> Sight | None:
    """Return what the evaluation part can show, or else the gate."""
    return found.sights[0] if found.sights else None


def _unseen(found: Findings) -> str:
    """Say that not even all that is lacking could be shown; empty where it could."""
    sight = _decisive(found)
    if sight is None or sight.visible is not None:
        return ""
    part = "validation" if sight.by == "confirm" else "training"
    return (
        f"{plural(sight.examples, f'{part} example')} cannot show what there is to gain "
        f"(level {sight.level:.2g}); {points(sight.gain)} take {sight.needed}"
    )


def _settings(prepared: Prepared, found: Findings) -> Iterator[Setting]:
    if prepared.method.sample.count:
        yield _sample(prepared, found)
    yield _guard(prepared, found)
    yield _repeats(prepared, found)
    yield from _examples(prepared, found)
    tried = [pair for pair in found.pairs if pair.verdict != "not tried"]
    if found.pairs and all(pair.verdict == "add up" for pair in found.pairs):
        why = "no two nodes were seen to interact: their texts can be judged one by one"
        yield Setting("method.proposals.form", "single", why)
    elif any(pair.verdict == "interact" for pair in tried):
        why = "nodes interact: what each text is worth depends on the others"
        yield Setting("method.proposals.form", "joint", why)


def _sample(prepared: Prepared, found: Findings) -> Setting:
    count, train = prepared.method.sample.count, len(prepared.problem.splits.train)
    noise, key = found.noise, "method.sample.count"
    by_luck = min(0.5, noise.lucky / noise.wrong) if noise and noise.wrong else 0.0
    wanted, expected = math.ceil(count / (1 - by_luck)), round(train * found.start.lacking)
    if expected < count:
        why = f"about {plural(expected, 'failure')} among {plural(train, 'training example')}"
        return Setting(key, max(1, expected), why)
    if wanted > count:
        why = f"{by_luck:.0%} of the failures were right the second time"
        return Setting(key, min(wanted, expected), why)
    return Setting(key, count, f"as declared: about {plural(expected, 'failure')} to learn from")


def _guard(prepared: Prepared, found: Findings) -> Setting:
    gate, key, gain = prepared.method.gate, "method.gate.guard", prepared.config.probe.gain
    train = len(prepared.problem.splits.train)
    if gate.examples != "sampled" and gate.first is None:
        return Setting(key, 0, "none is needed: the gate compares on more than the failures")
    right = max(1, min(train - 1, round(train * found.start.mean)))
    wanted = math.ceil(math.log(_SURE) / math.log(1 - gain))
    why = f"a text that spoils {points(gain)} then spoils one of them with 95 % certainty"
    if wanted > right:
        return Setting(key, right, "all that are right: " + why.replace("95 %", "less than 95 %"))
    return Setting(key, wanted, why)


def _repeats(prepared: Prepared, found: Findings) -> Setting:
    """Return how often both sides are scored, so that noise is half the gain at most."""
    key, noise, gain = "method.gate.repeats", found.noise, prepared.config.probe.gain
    if noise is None:
        return Setting(key, prepared.method.gate.repeats, "as declared: noise was not measured")
    if not noise.variance:
        return Setting(key, 1, "no score changed when it was asked for again")
    roles = forward_roles(prepared.problem.graph).values()
    if all(prepared.calling.models[role].deterministic for role in roles):
        return Setting(key, 1, "at temperature 0 nothing is asked again")
    number = max(1, prepared.method.compared(prepared.problem.splits))
    wanted = max(1, math.ceil(8 * noise.variance / (number * gain * gain)))
    shown = f"noise is then less than {points(gain)} on {plural(number, 'example')}"
    if wanted > _MOST_REPEATS:
        return Setting(key, _MOST_REPEATS, f"{wanted} if {shown}: more examples are cheaper")
    return Setting(key, wanted, shown)


def _examples(prepared: Prepared, found: Findings) -> Iterator[Setting]:
    method, splits, power = prepared.method, prepared.problem.splits, prepared.config.probe.power
    parts = {"confirm": "task.splits.validation", "gate": _of_gate(prepared)}
    for sight in found.sights:
        words = f"{points(sight.gain)} are shown with probability {sight.power:.2f}"
        if sight.power >= power:
            yield Setting(parts[sight.by], sight.examples, f"enough: {words}")
        elif sight.needed is not None:
            why = f"with {sight.examples} {words}, with so many {power:g} (level {sight.level:.2g})"
            yield Setting(parts[sight.by], sight.needed, why)
    if not any(sight.by == "confirm" for sight in found.sights):
        number, why = len(splits.validation), method.unconfirmed or "method.confirm=null"
        why = f"confirms nothing: {why}"
        enough = wanting(prepared, found.start, found.noise)
        if enough is not None and enough.needed is not None:
            why = f"with {number} it {why}; with so many {_shown(enough, power)}"
            number = enough.needed
        yield Setting(parts["confirm"], number, why)
    wanted = math.ceil(method.sample.count / found.start.lacking)
    if wanted > len(splits.train):
        why = f"for {plural(method.sample.count, 'failure')} to learn from (method.sample.count)"
        yield Setting("task.splits.train", wanted, why)


def _shown(sight: Sight, power: float) -> str:
    shown = f"{points(sight.gain)} are shown with probability {power:g}"
    return f"{shown} (level {sight.level:.2g})"


def _of_gate(prepared: Prepared) -> str:
    examples = prepared.method.gate.examples
    return "task.splits.validation" if examples == "validation" else "task.splits.train"
