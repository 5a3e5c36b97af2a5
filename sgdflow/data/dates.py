"""Dates read out of text, in the ways people and databases write them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from datetime import date, datetime, time
from typing import Any

from sgdflow.data.answers import after_mark

_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
_MONTH = (
    r"(jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|"
    r"sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?"
)
_DAY = r"(\d{1,2})(?:st|nd|rd|th)?"
_DATE = re.compile(
    rf"(?<![\d/.-])(?:(\d{{4}})([-/.])(\d{{1,2}})\2(\d{{1,2}})"
    rf"|(\d{{1,2}})([-/.])(\d{{1,2}})\6(\d{{4}})"
    rf"|\b{_DAY}\s+(?:of\s+)?{_MONTH},?\s+(\d{{4}})"
    rf"|\b{_MONTH}\s+{_DAY},?\s+(\d{{4}}))(?![\d/-]|\.\d)",
    re.IGNORECASE,
)
_MIDNIGHT = re.compile(r"(?:[T ]00:00(?::00(?:\.0+)?)?(?:Z|\+00:?00)?)?")


def find_dates(text: str, day_first: bool | None) -> Collection[date]:
    """Return the date a text answers with: the first after the last mark, or else the last.

    Two dates come back for 05/01/2021 where `day_first` is None: nobody knows which is meant.
    """
    marked = [*_dates(after_mark(text), day_first)]
    if marked:
        return marked[0]
    found = [*_dates(text, day_first)]
    return found[-1] if found else ()


def target_dates(target: Any, day_first: bool | None) -> Collection[date]:
    """Return the date that a target is and nothing else; none where it is something else."""
    if isinstance(target, datetime):
        return () if target.time() != time() else (target.date(),)
    if isinstance(target, date):
        return (target,)
    if not isinstance(target, str):
        return ()
    match = _DATE.match(target.strip())
    if match is None or not _MIDNIGHT.fullmatch(target.strip()[match.end() :]):
        return ()
    return _read(match, day_first)


def day_comes_first(target: Any) -> bool | None:
    """Say whether the day must come first in a target such as 25/12/2021; None: it may not."""
    match = _DATE.match(target.strip()) if isinstance(target, str) else None
    if match is None or not match[5]:
        return None
    first, second = int(match[5]), int(match[7])
    if first > 12:
        return True
    return False if second > 12 else None


def is_slashed(target: Any) -> bool:
    """Say whether a target is written like 05/01/2021, where the order of its parts is a habit."""
    match = _DATE.match(target.strip()) if isinstance(target, str) else None
    return match is not None and bool(match[5])


def _dates(text: str, day_first: bool | None) -> Iterator[Collection[date]]:
    for match in _DATE.finditer(text):
        if found := _read(match, day_first):
            yield found


def _read(match: re.Match[str], day_first: bool | None) -> Collection[date]:
    if match[1]:
        parts = [(match[1], match[3], match[4])]
    elif match[5]:
        first, second, year = match[5], match[7], match[8]
        parts = [(year, second, first), (year, first, second)]
        parts = parts if day_first else parts[::-1]
    elif match[9]:
        parts = [(match[11], _month(match[10]), match[9])]
    else:
        parts = [(match[14], _month(match[12]), match[13])]
    found = [*dict.fromkeys(day for one in parts if (day := _day(*one)) is not None)]
    return found if day_first is None else found[:1]


def _month(name: str) -> str:
    return str(_MONTHS.index(name[:3].casefold()) + 1)


def _day(year: str, month: str, day: str) -> date | None:
    try:
        return date(int(year), int(month), int(day))
    except ValueError:
        return None
