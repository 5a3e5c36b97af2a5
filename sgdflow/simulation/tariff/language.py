"""What the people at the tariff desk can read and write: orders, prices, facts, corrections."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod

from sgdflow.simulation.tariff.orders import ABSENT, ASSUMED, Family
from sgdflow.simulation.tariff.parts import PARTS
from sgdflow.simulation.wishes import SETTLED

_KINDS = "|".join(kind for kinds in PARTS.values() for kind in (*kinds, "none"))
_PART = "|".join(PARTS)
_ORDER_FIELD = re.compile(rf"\b({_PART}): ({_KINDS})\.", re.IGNORECASE)
_PRICED = re.compile(rf"\b({_PART})(?: ({_KINDS}))?: (\d+)( \(assumed)?", re.IGNORECASE)
_FACTS = (
    re.compile(rf"\b({_PART}) ({_KINDS})\b[^.\d]{{0,40}}?\b(\d+)", re.IGNORECASE),
    re.compile(rf"\b({_KINDS}) ({_PART})\b[^.\d]{{0,40}}?\b(\d+)", re.IGNORECASE),
)
_EXPECTED = re.compile(r"expected[^\n:]*: *\$?(-?[\d,]+)", re.IGNORECASE)
_CORRECTION = re.compile(
    rf"(?P<weak>If the other values are right, )?(?:the (?P<part>{_PART}) (?P<kind>{_KINDS})|it) "
    r"should be (?P<value>\d+)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Price:
    """A statement on one part of an order."""

    part: str
    kind: str
    """Empty where the order does not have the part."""
    value: int
    assumed: bool = False

    def __str__(self) -> str:
        if not self.kind:
            return f"{self.part}: {self.value} (the order has none)"
        why = f" (assumed: nothing is stated for {self.part} {self.kind})" if self.assumed else ""
        return f"{self.part} {self.kind}: {self.value}{why}"


@dataclass(frozen=True, slots=True)
class Correction:
    """What a gradient says a value should be."""

    value: int
    certain: bool
    part: str = ""
    kind: str = ""
    """Part and class where the gradient names them; otherwise it speaks of the only value."""


Facts = Mapping[tuple[str, str], int]


def read_order(texts: Iterable[str]) -> Mapping[str, str]:
    """Return part -> class ('' for none); empty where no text is an order."""
    for text in texts:
        fields = {part.lower(): kind.lower() for part, kind in _ORDER_FIELD.findall(text)}
        if fields:
            return {part: "" if kind == "none" else kind for part, kind in fields.items()}
    return {}


def read_prices(text: str) -> tuple[Price, ...]:
    """Return the prices that a statement names."""
    return tuple(
        Price(part.lower(), kind.lower(), int(value), bool(assumed))
        for part, kind, value, assumed in _PRICED.findall(text)
    )


def read_facts(instruction: str) -> Facts:
    """Return what an instruction states; the later of two statements counts."""
    facts: dict[tuple[str, str], int] = {}
    for part, kind, value in _FACTS[0].findall(instruction):
        facts[part.lower(), kind.lower()] = int(value)
    for kind, part, value in _FACTS[1].findall(instruction):
        facts.setdefault((part.lower(), kind.lower()), int(value))
    return {key: value for key, value in facts.items() if key[1] in PARTS[key[0]]}


def read_family(instruction: str) -> Family:
    """Return how values are combined: sums unless the instruction speaks of factors."""
    return "product" if re.search(r"multipl|factor|product", instruction, re.IGNORECASE) else "sum"


def read_expected(feedback: Iterable[str]) -> int | None:
    """Return the expected answer that a feedback names."""
    for text in feedback:
        if found := _EXPECTED.search(text):
            return int(found[1].replace(",", ""))
    return None


def read_correction(feedback: str) -> Correction | None:
    """Return what a gradient asks for; None where it asks for nothing."""
    found = _CORRECTION.search(feedback)
    if not found or SETTLED in feedback:
        return None
    return Correction(
        int(found["value"]),
        not found["weak"],
        (found["part"] or "").lower(),
        (found["kind"] or "").lower(),
    )


def fact_sentence(part: str, kind: str, value: int, family: Family) -> str:
    """State a fact in plain words."""
    if family == "product":
        return f"The {part} {kind} has the factor {value}."
    return f"The {part} {kind} costs {value}."


def named_parts(instruction: str) -> Sequence[str]:
    """Return the parts that the task itself names, facts aside."""
    said = task(instruction)  # the same for all parts, and slow to read
    return [part for part in PARTS if re.search(rf"\b{part}\b", said, re.IGNORECASE)]


def task(instruction: str) -> str:
    """Return the instruction without the facts it states."""
    sentences = re.split(r"(?<=\.)\s+", instruction.strip())
    return " ".join(s for s in sentences if not read_facts(s))


def instruction_with(facts: Facts, instruction: str, family: Family) -> str:
    """Return the task of an instruction with these facts."""
    sentences = [fact_sentence(p, k, v, family) for (p, k), v in sorted(facts.items())]
    return " ".join([task(instruction), *sentences])


def price(part: str, kind: str, facts: Facts, family: Family) -> Price:
    """Price one part by what is known."""
    if not kind:
        return Price(part, "", ABSENT[family])
    known = facts.get((part, kind))
    return Price(part, kind, ASSUMED[family] if known is None else known, known is None)


def combine(values: Iterable[int], family: Family) -> int:
    """Return the total."""
    return sum(values) if family == "sum" else prod(values)


def solve_for(value: int, total: int, expected: int, family: Family) -> int | None:
    """Return what `value`, one of those behind `total`, must be to make `expected`."""
    if family == "sum":
        wanted = value + expected - total
    else:
        wanted, rest = divmod(value * expected, total) if total else (0, 1)
        if rest:
            return None
    return wanted if wanted > 0 else None
