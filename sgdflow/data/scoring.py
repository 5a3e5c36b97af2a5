"""Scores of an output against a target: 1 where the answer read out of the output is right.

No output (None, empty text) and no readable answer score 0 like a wrong answer. A target
that a scorer cannot use raises ValueError: the data, not the model, is wrong then. How an
answer is marked ("answer is", "answer:", "####", a LaTeX box) stands in `answers`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Literal

from sgdflow.data.answers import (
    DIGITS,
    after_mark,
    bare,
    find_number,
    find_option,
    find_yes_no,
    marked_sentence,
    plain,
    words,
)


def number(output: Any, target: Any) -> float:
    """Score 1 if the number in the output equals the target.

    It is the first number of the marked sentence, or without a mark the last one of the
    last sentence that has any; in both, a number after the last equals sign goes before.
    Commas, currency, units and percent signs are passed over, and so is the numbering of
    lists. Fractions, ranges and sums that are not worked out ("3/4", "3-4", "5 + 3") are
    no numbers. A minus is a sign only where it touches the number and does not follow a
    letter, a digit or a closing bracket.
    """
    expected = _target_number(target)
    found = find_number(_text(output))
    return float(found is not None and math.isclose(found, expected, rel_tol=1e-9, abs_tol=1e-9))


def option(output: Any, target: Any) -> float:
    """Score 1 if the output chooses the target's option letter.

    It is the first letter of the marked sentence, unless "or" joins it to another. Without
    a mark it is the only letter written as an option ("(B)", "option B", "B)" opening a
    line); among several the one that has the last or the first line to itself, that alone
    opens the last line, or that "is correct".
    """
    letter = re.fullmatch(r"\(?([A-Za-z])\)?", _target_text(target))
    if letter is None:
        raise ValueError(f"target {target!r} is not an option letter such as '(B)'")
    return float(find_option(_text(output)) == letter[1].upper())


def yes_no(output: Any, target: Any) -> float:
    """Score 1 if the output says yes or no as the target does, in any case.

    The first and the last word of the marked sentence, or else of the whole text, decide;
    where they contradict each other the score is 0. Where neither is yes or no, a "yes", or
    a "no" that no word follows, decides from the middle if there is only one of the two.
    """
    expected = _target_text(target).casefold()
    if expected not in ("yes", "no"):
        raise ValueError(f"target {target!r} is not 'yes' or 'no'")
    return float(find_yes_no(_text(output)) == expected)


def exact(output: Any, target: Any) -> float:
    """Score 1 if the texts agree but for case, white space, quotes, emphasis, final period."""
    wanted, text = _target_text(target), _text(output)
    return float(bool(text) and bare(text) == bare(wanted))


def like_target(output: Any, target: Any) -> float:
    """Score by the form of the target.

    "(B)" is an option, "Yes" or "no" a yes_no, a whole number a number. Brackets alone are
    compared without white space; several words without a comma are compared one by one,
    whatever separates them; any other text is exact, as a whole or after a mark.
    """
    kind = form(target)
    if kind == "number":
        return number(output, target)
    wanted, text = _target_text(target), _text(output)
    if kind == "option":
        return option(text, wanted)
    if kind == "yes_no":
        return yes_no(text, wanted)
    sentence = marked_sentence(text)
    boxed = re.sub(r"\}\$*$", "", sentence)
    candidates = (text, text.rpartition("####")[2], after_mark(text), sentence, boxed)
    if kind == "brackets":
        brackets = {re.sub(r"[\s*`\"'.]", "", candidate) for candidate in candidates}
        return float("".join(wanted.split()) in brackets)
    if kind == "words":
        return float(words(wanted) in [words(candidate) for candidate in candidates])
    return float(any(exact(candidate, wanted) for candidate in candidates))


Form = Literal["number", "option", "yes_no", "brackets", "words", "text"]


def form(target: Any) -> Form:
    """Return how `like_target` compares with a target."""
    if isinstance(target, int | float) and not isinstance(target, bool):
        return "number"
    wanted = _target_text(target)
    forms: Mapping[Form, bool] = {
        "option": bool(re.fullmatch(r"\([A-Za-z]\)", wanted)),
        "yes_no": wanted.casefold() in ("yes", "no"),
        "number": bool(re.fullmatch(r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)", wanted)),
        "brackets": bool(re.fullmatch(r"[\s()\[\]{}<>]+", wanted)),
        "words": len(wanted.split()) > 1 and "," not in wanted,
    }
    return next((name for name, fits in forms.items() if fits), "text")


def _text(output: Any) -> str:
    return "" if output is None else plain(str(output))


def _target_text(target: Any) -> str:
    text = plain(str(target)) if isinstance(target, str | int | float) else ""
    if not text:
        raise ValueError(f"target {target!r} is not a text to compare with")
    return text


def _target_number(target: Any) -> float:
    text = "" if isinstance(target, bool) else _target_text(target)
    read = re.fullmatch(rf"([-+]?)[$€£]?({DIGITS})\s?%?", text)
    if read is None:
        raise ValueError(f"target {target!r} is not a number")
    return float(read[1] + read[2].replace(",", ""))
