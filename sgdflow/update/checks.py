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
_KIND = (
    r"(?:semantic|textual|previous|prior|past|earlier|latest|last|recent|above|received|provided"
    r"|given|critic['\u2019]s) "
)
# A member may give feedback, or be given a person's; what it never sees is that of the method.
_FEEDBACK = (
    rf"(?:{_KIND})*(?:feedback|gradients?)\b"
    r"(?! (?:(?:left|given|written|sent) )?(?:from|of|by) (?:\w+ )?(?:customer|user|client|guest"
    r"|student|reader|patient|employee|visitor)s?\b)"
)
_NOTES = r"(?:comment|remark|note|suggestion|critique)s?"
_USE = (
    r"(?:based on|according to|in (?:light|view) of|in (?:line|accordance) with|in response to"
    r"|learn(?:ed|ing)? from|address|apply|consider|considering|follow|following|heed|implement"
    r"|incorporate|integrate|reflect|take|use|using|per)"
)
_SPEAKS_OF = re.compile(
    rf"\b(?:the|this|that|these|those|your|all|any|given) {_FEEDBACK}"
    rf"|\b{_USE} (?:its )?(?!gradient\b){_FEEDBACK}"
    rf"|\b(?:the|its|your) critic['\u2019]s {_NOTES}\b|\bthe {_NOTES} (?:of|from|by) the critic\b"
    r"|\b(?:the|these|those) (?:examples?|queries|failures) (?:shown|above|below|provided)\b",
    re.IGNORECASE,
)
# What can be said of any task.
_FILLING = frozenset(
    "a all an and any are as at be by can each for from has have if in into is it its must need of "
    "on one or should so the to what will with you your "
    "accurate accurately analyse analyze answer answers appropriate arrive asked asks best "
    "calculate careful carefully clear clearly complete compute concise consider correct correctly "
    "detailed determine do ensure exactly examine final find following give given hand instruction "
    "make obtain output perform please possible precise problem proper properly provide provided "
    "question questions reach read reasoning resolve respond response result right solution solve "
    "step steps sure task that then they think this thorough thoroughly through understand well "
    "work write".split()
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
    seen = [one for item in items for one in (item, *item.behind)]
    names = {name.lower() for item in seen for name in item.predecessors}
    if (found := _unseen(text, names)) and not _SPEAKS_OF.search(before):
        raise ReplyError(f'it says "{found}", which the member never sees; state the rule itself')
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


def _unseen(text: str, names: Collection[str]) -> str:
    """Return where a text speaks of what the member never sees; a predecessor's value it does."""
    said = (found[0] for found in _SPEAKS_OF.finditer(text))
    return next((one for one in said if not {*_words(one)} & {*names}), "")


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
    more = Counter(now) - Counter(stood)
    longer = more.total() >= RUN and not more.keys() <= _FILLING
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
