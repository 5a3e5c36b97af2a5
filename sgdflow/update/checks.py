"""What is wrong with a rewritten text, found before anything is scored with it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence

from sgdflow.errors import ReplyError, plural
from sgdflow.llm.models import PER_TOKEN, estimated_tokens
from sgdflow.update.evidence import Item

RUN = 8
"""Words in a row that a text may not share with an example."""
_SHORTEST = 4
"""A whole value of so many words and less than a run counts, too."""
_SPEAKS_OF = re.compile(
    r"\b(?:the|this|that|these|those|your|all|any|given) (?:semantic )?(?:feedback|gradients?)\b"
    r"|\b(?:the|these|those) (?:examples?|queries|failures) (?:shown|above|below|provided)\b",
    re.IGNORECASE,
)
# What can be said of any task.
_FILLING = frozenset(
    "a all an and any are as be by each for from if in into is it its of on one or so the to you "
    "accurate accurately answer answers carefully clear clearly complete concise correct correctly "
    "detailed ensure exactly final find following give given instruction make output please "
    "precise problem provide question questions reasoning respond response result solution solve "
    "step steps sure task that then they think this thoroughly through with work write your".split()
)


Check = Callable[[str, str, Sequence[Item]], None]
"""(new text, the text as it stood, what its writer was shown); raises ReplyError."""


def check_tokens(text: str, most: int | None) -> None:
    """Raise ReplyError where a text is estimated to take too many tokens."""
    if most is not None and (found := estimated_tokens(text)) > most:
        raise ReplyError(
            f"it has about {plural(found, 'token')} ({len(text)} characters); at most {most} may "
            f"be used, which is {most * PER_TOKEN} characters"
        )


def no_check(text: str, before: str, items: Sequence[Item]) -> None:
    """Take any text."""


def check_text(text: str, before: str, items: Sequence[Item]) -> None:
    """Raise ReplyError for a text that the member could not use, or that gives answers away.

    `before` is the text as it stood; what stood there already is not held against the new one.
    """
    if (found := _SPEAKS_OF.search(text)) and not _SPEAKS_OF.search(before):
        raise ReplyError(
            f'it says "{found[0]}", which the member never sees; state the rule itself'
        )
    seen = (one for item in items for one in (item, *item.behind))
    values = (value for item in seen for value in item.predecessors.values())
    if run := copied(text, before, values, RUN, _SHORTEST):
        raise ReplyError(
            f'it copies "{run}" from a query shown; use an example of your own or none'
        )
    if _paraphrases(text, before):
        raise ReplyError(
            "it says no more than the instruction as it stood; put in the rules or steps that "
            "the failures lacked"
        )


def copied(
    text: str, before: str, shown: Iterable[object], run: int, shortest: int | None = None
) -> str:
    """Return so many words in a row that stand in the text as they do in what was shown.

    What stood in the text before is no copy. A value shown that has less words than that, but at
    least `shortest`, is a copy as a whole; None: it is none.
    """
    now, stood = _words(text), _words(before)
    own: dict[int, set[tuple[str, ...]]] = {}
    for words in (_words(str(value)) for value in shown):
        size = min(len(words), run)
        if size < (run if shortest is None else shortest):
            continue
        if size not in own:
            own[size] = set(_runs(now, size)) - set(_runs(stood, size))
        if found := next((one for one in _runs(words, size) if one in own[size]), None):
            return " ".join(found)
    return ""


def _paraphrases(text: str, before: str) -> bool:
    """Return whether other words were found for the same task, and nothing else."""
    now, stood = _words(text), _words(before)
    said = set(now) - _FILLING
    adds_nothing = text.strip() != before.strip() and said <= set(stood)
    # Another worked example may have no word that is new, but has its words once more.
    longer = (Counter(now) - Counter(stood)).total() >= RUN
    return adds_nothing and not longer and not _cuts(said, before)


def _cuts(said: Collection[str], before: str) -> bool:
    """Return whether a sentence was left out and another one kept: that, too, is a change."""
    sentences = [set(_words(one)) - _FILLING for one in re.split(r"[.!?\n]+", before)]
    sentences = [one for one in sentences if one]
    kept = any(one.issubset(said) for one in sentences)
    return kept and any(one.isdisjoint(said) for one in sentences)


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def _runs(words: Sequence[str], size: int) -> Iterable[tuple[str, ...]]:
    return zip(*(words[start:] for start in range(size)), strict=False)
