"""Workers, critic and writer of the tariff desk; each goes by its prompt alone."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from random import Random

from sgdflow.simulation.pieces import Seen
from sgdflow.simulation.reading import Critique, Rewrite, Work
from sgdflow.simulation.tariff.guessing import guess
from sgdflow.simulation.tariff.language import (
    Facts,
    Price,
    combine,
    instruction_with,
    named_parts,
    price,
    read_correction,
    read_expected,
    read_facts,
    read_family,
    read_order,
    read_prices,
    solve_for,
)
from sgdflow.simulation.tariff.orders import Family
from sgdflow.simulation.wishes import SETTLED, UNSETTLED

FORGETS = 0.05
"""How often a writer drops one of the facts it should have kept."""
MISCOPIES = 0.05
"""How often a writer gets a number wrong that it puts in."""


class TariffDesk:
    """A world of orders and prices.

    Workers know what their instruction states and say where they assume. The critic does
    not know the tariff: it compares the expected total with the values it is shown. The
    writer puts what the feedback says into the instruction, and slips now and then, as the
    text of its prompt has it.
    """

    def work(self, prompt: Work) -> str | None:
        """Price parts of an order, or combine prices that others stated."""
        order = read_order(prompt.variables.values())
        stated = [p for text in prompt.variables.values() for p in read_prices(text)]
        if not order and not stated:
            return None
        family, facts = read_family(prompt.instruction), read_facts(prompt.instruction)
        named = named_parts(prompt.instruction)
        if named:
            prices = [price(part, order.get(part, ""), facts, family) for part in named]
            return "; ".join(map(str, prices))
        prices = _best_known(order, stated, facts, family)
        if re.search(r"\b(intermediate|hint|step)\b", prompt.instruction, re.IGNORECASE):
            return "; ".join(map(str, prices))
        return str(combine((p.value for p in prices), family))

    def critique(self, prompt: Critique) -> Mapping[str, str] | None:
        """Trace a wrong total back to the values that were combined."""
        seen = prompt.seen
        own = [name for name in prompt.targets if name not in seen.variables]
        if own:
            others = tuple(name for name in prompt.targets if name not in own)
            said = self.critique(replace(prompt, targets=others)) if others else {}
            mine = _of_instructions(replace(prompt, targets=tuple(own)))
            return None if said is None or mine is None else {**said, **mine}
        prices = _with_proven(prompt)
        expected, output = read_expected(seen.feedback), re.fullmatch(r"\d+", seen.output.strip())
        if not any(prices.values()) or expected is None or output is None:
            return None
        total, family = int(output[0]), read_family(prompt.instruction)
        if total == expected:
            return dict.fromkeys(prompt.targets, f"{SETTLED}: the total is right.")
        shown = [p for given in prices.values() for p in given]
        if combine((p.value for p in shown), family) == total:
            return {
                name: _with_neighbors(prices.get(name, ()), shown, total, expected, family)
                for name in prompt.targets
            }
        return {
            name: _alone(prices.get(name, ()), total, expected, family) for name in prompt.targets
        }

    def revise(self, seen: Seen) -> str | None:
        """State the prices that are asked for."""
        prices = list(read_prices(seen.output))
        if not prices:
            return None
        for correction in filter(None, map(read_correction, seen.feedback)):
            for place, one in enumerate(prices):
                named = (correction.part, correction.kind) == (one.part, one.kind)
                if named or (not correction.part and len(prices) == 1):
                    prices[place] = replace(one, value=correction.value, assumed=False)
        return "; ".join(map(str, prices))

    def rewrite(self, prompt: Rewrite) -> str | None:
        """Put what the feedback shows into the instruction; without examples, guess."""
        if not prompt.examples:
            return guess(prompt)
        if not any(_about_orders(example) for example in prompt.examples):
            return None
        family, known = read_family(prompt.text), read_facts(prompt.text)
        learned = _learned(prompt.examples, known, family)
        if not learned:
            return prompt.text
        mood = repr(prompt) + (repr(prompt.attempts) if prompt.attempts else "")
        random = Random(sha256(mood.encode()).digest())
        if random.random() < MISCOPIES:
            key = random.choice(sorted(learned))
            learned = {**learned, key: learned[key] + random.choice((-2, -1, 1, 2, 10))}
        facts = {**known, **learned}
        if known and random.random() < FORGETS:
            del facts[random.choice(sorted(known))]
        return instruction_with(facts, prompt.text, family)


def _with_proven(prompt: Critique) -> dict[str, tuple[Price, ...]]:
    """Read the prices, and doubt none that made a right total as the only one assumed."""
    family, proven = read_family(prompt.instruction), set[tuple[str, str, int]]()
    for one in prompt.right:
        given = [price for text in one.variables.values() for price in read_prices(text)]
        unsure = [price for price in given if price.assumed]
        if len(unsure) == 1 and str(combine((p.value for p in given), family)) == one.output:
            proven.add((unsure[0].part, unsure[0].kind, unsure[0].value))

    def read(price: Price) -> Price:
        known = (price.part, price.kind, price.value) in proven
        return replace(price, assumed=False) if known else price

    seen = prompt.seen.variables
    return {name: tuple(map(read, read_prices(text))) for name, text in seen.items()}


def _of_instructions(prompt: Critique) -> Mapping[str, str] | None:
    """Say what the instruction itself should state, for the work it was followed in."""
    if not _about_orders(prompt.seen):
        return None
    family, known = read_family(prompt.instruction), read_facts(prompt.instruction)
    said = [
        f"{'' if certain else 'If the other values are right, '}the {part} {kind} should be {value}"
        for (part, kind), value, certain in _lessons(prompt.seen, known, family)
        if known.get((part, kind)) != value
    ]
    return dict.fromkeys(
        prompt.targets,
        f"It should state: {'; '.join(said)}."
        if said
        else f"{SETTLED}: the feedback asks for nothing that could be stated.",
    )


def _about_orders(example: Seen) -> bool:
    texts = list(example.variables.values())
    return bool(read_order(texts)) or any(read_prices(text) for text in texts)


def _best_known(
    order: Mapping[str, str], stated: Sequence[Price], facts: Facts, family: Family
) -> list[Price]:
    """Return one price a part: one's own knowledge first, then what others state."""
    parts = list(order) or list(dict.fromkeys(p.part for p in stated))
    found = []
    for part in parts:
        others = sorted((p for p in stated if p.part == part), key=lambda p: p.assumed)
        kind = order[part] if order else (others[0].kind if others else "")
        own = price(part, kind, facts, family)
        found.append(others[0] if others and (own.assumed or not order) else own)
    return found


def _with_neighbors(
    given: Sequence[Price], shown: Sequence[Price], total: int, expected: int, family: Family
) -> str:
    """Say what should change where all values behind the total are in view."""
    unsure = [p for p in shown if p.assumed]
    if len(unsure) > 1:
        names = " and ".join(f"{p.part} {p.kind}" for p in unsure)
        return f"{UNSETTLED}: {names} are all assumed, and one total cannot tell them apart."
    if unsure and not any(p.assumed for p in given):
        return f"{SETTLED}: the value that was only assumed explains the difference."
    return _alone(given, total, expected, family)


def _alone(given: Sequence[Price], total: int, expected: int, family: Family) -> str:
    """Say what a value would have to be if it alone explained the difference."""
    candidates = [p for p in given if p.assumed] or [p for p in given if p.kind]
    if len(candidates) != 1:
        return f"{SETTLED}: there is no single value here to blame."
    blamed = candidates[0]
    wanted = solve_for(blamed.value, total, expected, family)
    if wanted is None:
        return f"{UNSETTLED}: no value here makes the expected answer."
    subject = "it" if len(given) == 1 else f"the {blamed.part} {blamed.kind}"
    change = f"{subject} should be {wanted} instead of {blamed.value}"
    if blamed.value == total:
        return f"{change[0].upper()}{change[1:]}: it alone makes the total."
    return f"If the other values are right, {change}."


def _learned(examples: Sequence[Seen], known: Facts, family: Family) -> dict[tuple[str, str], int]:
    """Return the facts that the examples' feedback supports and the instruction lacks."""
    certain: dict[tuple[str, str], Counter[int]] = {}
    possible: dict[tuple[str, str], Counter[int]] = {}
    for example in examples:
        for key, value, is_certain in _lessons(example, known, family):
            (certain if is_certain else possible).setdefault(key, Counter())[value] += 1
    learned = {key: values.most_common(1)[0][0] for key, values in certain.items()}
    # What the instruction states is doubted only where several examples agree, and only if it
    # is the one statement in doubt: where all of them seem wrong, the fault lies elsewhere.
    doubted = [key for key in possible if key in known]
    for key, values in possible.items():
        (value, support), *others = values.most_common()
        agreed = support > 1 and not (others and others[0][1] == support)
        if key not in learned and (key not in known or (agreed and doubted == [key])):
            learned[key] = value
    return {key: value for key, value in learned.items() if known.get(key) != value}


def _lessons(
    example: Seen, known: Facts, family: Family
) -> list[tuple[tuple[str, str], int, bool]]:
    stated = [p for p in read_prices(example.output) if p.kind]
    lessons = []
    for feedback in example.feedback:
        correction = read_correction(feedback)
        if correction and (correction.part or len(stated) == 1):
            about = (
                (correction.part, correction.kind)
                if correction.part
                else (stated[0].part, stated[0].kind)
            )
            lessons.append((about, correction.value, correction.certain))
    return lessons or _own_lessons(example, known, family)


def _only_part(
    example: Seen, order: Mapping[str, str], expected: int
) -> list[tuple[tuple[str, str], int, bool]]:
    """Take the total for the price of the part that was priced, where the order has no other."""
    stated = [p for p in read_prices(example.output) if p.kind]
    there = [(part, kind) for part, kind in order.items() if kind]
    known = len(there) == len(stated) == 1 and there == [(stated[0].part, stated[0].kind)]
    return [(there[0], expected, True)] if known else []


def _own_lessons(
    example: Seen, known: Facts, family: Family
) -> list[tuple[tuple[str, str], int, bool]]:
    """Work a lesson out from the expected answer, for a worker that prices a whole order."""
    order = read_order(example.variables.values())
    expected = read_expected(example.feedback)
    if not order or expected is None:
        return []
    if not example.output.strip().isdigit():
        return _only_part(example, order, expected)
    prices = [price(part, kind, known, family) for part, kind in order.items()]
    unsure = [p for p in prices if p.assumed]
    total = combine((p.value for p in prices), family)
    if len(unsure) != 1 or total != int(example.output):
        return []
    wanted = solve_for(unsure[0].value, total, expected, family)
    return [] if wanted is None else [((unsure[0].part, unsure[0].kind), wanted, True)]
