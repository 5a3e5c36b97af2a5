"""Scorers for targets of one form: number, option, date, ...; `scoring` has all of them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import date as Date
from decimal import Decimal, InvalidOperation
from typing import Any

from sgdflow.data import forms
from sgdflow.data.answers import (
    TRUE_OR_FALSE,
    YES_OR_NO,
    after_mark,
    bare,
    find_number,
    find_option,
    find_truth,
    marked_sentence,
    plain,
    words,
)
from sgdflow.data.dates import find_dates, target_dates


def number(output: Any, target: Any) -> float:
    """Score 1 if the number in the output equals the target.

    It is the first number of the marked sentence, or without a mark the last one of the
    last sentence that has any; in both, a number after the last equals sign goes before.
    Commas, currency, units and percent signs are passed over, and so is the numbering of
    lists. Fractions, ranges and sums that are not worked out ("3/4", "3-4", "5 + 3") are
    no numbers. A minus is a sign only where it touches the number and does not follow a
    letter, a digit or a closing bracket. Whole numbers are compared digit by digit, others
    to nine places.
    """
    expected = _target_number(target)
    found = find_number(_text(output))
    return float(found is not None and _equal(_value(found), expected))


def code(output: Any, target: Any) -> float:
    """Score 1 if the number in the output has the target's digits: 02134 is not 2134."""
    wanted = _target_text(target)
    if not forms.CODE.fullmatch(wanted):
        raise ValueError(f"target {_shown(target)} is not a code of digits such as '02134'")
    return float(find_number(_text(output)) == wanted)


def option(output: Any, target: Any) -> float:
    """Score 1 if the output chooses the target's option letter.

    It is the first letter of the marked sentence, unless "or" joins it to another. Without
    a mark it is the only letter written as an option ("(B)", "option B", "B)" opening a
    line); among several the one that has the last or the first line to itself, that alone
    opens the last line, or that "is correct". Where no letter is chosen and the target has
    the option's text, too ("B) Paris"), that text is enough.
    """
    wanted = forms.OPTION.fullmatch(_target_text(target))
    if wanted is None:
        raise ValueError(f"target {_shown(target)} is not an option letter such as '(B)'")
    letter, said = forms.option_of(wanted)
    found = find_option(_text(output))
    if found is None and said:
        return text(output, said)
    return float(found == letter)


def yes_no(output: Any, target: Any) -> float:
    """Score 1 if the output says yes or no as the target does, in any case.

    The first and the last word of the marked sentence, or else of the whole text, decide;
    where they contradict each other the score is 0. Where neither is yes or no, a "yes", or
    a "no" that no word follows, decides from the middle if there is only one of the two.
    """
    wanted = forms.YES_NO.get(_target_text(target).casefold())
    if wanted is None or isinstance(target, bool):
        raise ValueError(f"target {_shown(target)} is not 'yes' or 'no'")
    return float(_truth(output, YES_OR_NO, forms.YES_NO) is wanted)


def true_false(output: Any, target: Any) -> float:
    """Score 1 if the output says true (or yes) or false (or no) as the target does.

    It is found as yes_no finds it; "not true" is false.
    """
    wanted = forms.TRUE_FALSE.get(_target_text(target).casefold())
    if wanted is None:
        raise ValueError(f"target {_shown(target)} is not true or false")
    return float(_truth(output, TRUE_OR_FALSE, forms.TRUE_FALSE) is wanted)


def date(output: Any, target: Any, day_first: bool | None = None) -> float:
    """Score 1 if the output's date is the target's, however each of them is written.

    It is the first date after the mark, or without a mark the last one. `day_first` says how
    05/01/2021 is read; None: a target as May 1st, an output either way.
    """
    wanted = target_dates(plain_target(target), bool(day_first))
    if not wanted:
        raise ValueError(f"target {_shown(target)} is not a date such as '2021-05-01'")
    return float(any(day in wanted for day in find_dates(_text(output), day_first)))


def exact(output: Any, target: Any) -> float:
    """Score 1 if the texts agree but for case, white space, quotes, emphasis, final period."""
    wanted, said = _target_text(target), _text(output)
    return float(bool(said) and bare(said) == bare(wanted))


def text(output: Any, target: Any) -> float:
    """Score 1 if the output, or what follows its mark, is the target's text as in `exact`.

    Brackets alone are compared without white space; several words without a comma are
    compared one by one, whatever separates them.
    """
    wanted, said = _target_text(target), _text(output)
    sentence = marked_sentence(said)
    boxed = re.sub(r"\}\$*$", "", sentence)
    candidates = (said, said.rpartition("####")[2], after_mark(said), sentence, boxed)
    form = forms.form_of_text(wanted)
    if form == "brackets":
        brackets = {re.sub(r"[\s*`\"'.]", "", candidate) for candidate in candidates}
        return float("".join(wanted.split()) in brackets)
    if form == "words":
        return float(words(wanted) in [words(candidate) for candidate in candidates])
    return float(any(exact(candidate, wanted) for candidate in candidates))


def _text(output: Any) -> str:
    return "" if output is None else plain(str(output))


def _truth(output: Any, spoken: Mapping[str, bool], alone: Mapping[str, bool]) -> bool | None:
    said = _text(output)
    letter = alone.get(bare(said))
    return letter if letter is not None else find_truth(said, spoken)


def plain_target(target: Any) -> Any:
    """Return a target whose text, if it is one, has plain signs."""
    return plain(target) if isinstance(target, str) else target


def _target_text(target: Any) -> str:
    if isinstance(target, list | tuple | set | frozenset):
        raise ValueError(f"target {_shown(target)} is a list, not a text to compare with")
    known = isinstance(target, str | int | float | Decimal | Date)
    said = plain(str(target)) if known else ""
    if not said:
        raise ValueError(f"target {_shown(target)} is not a text to compare with")
    return said


def _target_number(target: Any) -> Decimal:
    said = "" if isinstance(target, bool) else _target_text(target)
    read = forms.NUMBER.fullmatch(said)
    if read is None:
        raise ValueError(f"target {_shown(target)} is not a number")
    return _value(read[1] + read[2])


def _value(digits: str) -> Decimal:
    try:
        return Decimal(digits.replace(",", ""))
    except InvalidOperation:  # an exponent of many digits
        return Decimal("Infinity")


def _equal(found: Decimal, expected: Decimal) -> bool:
    if found == expected:
        return found.is_finite()
    if all(value == value.to_integral_value() for value in (found, expected)):
        return False
    return math.isclose(float(found), float(expected), rel_tol=1e-9)


def _shown(target: Any) -> str:
    shown = repr(target)
    return shown if len(shown) <= 100 else f"{shown[:100]}..."
