r"""Answers read out of a model's text.

Every `find_` function looks first for a mark: "answer is", "answer:", "answer =", a LaTeX
box, or "####" with one word behind it. It reads the first sentence after the last mark.
Only where there is no mark, or no answer in that sentence, it reads the whole text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_MARK = (
    r"\\boxed\s*\{{|####(?=[ \t]*\S{{1,40}}[ \t]*$)|"
    r"\b(?:{nouns})(?:\s+to\s[^\n.:=]{{1,80}}?|\s*\([^()\n]{{1,40}}\))?[\s*_,]*(?:\bis\b\s*:?|[:=])"
)
ANSWER = re.compile(_MARK.format(nouns="answer"), re.IGNORECASE | re.MULTILINE)
CHOICE = re.compile(_MARK.format(nouns="answer|option|choice"), re.IGNORECASE | re.MULTILINE)
SENTENCE_END = re.compile(r"\n|(?<=[.!?])\s")

DIGITS = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:[eE][+-]?\d+(?![^\W_]))?|(?<!\w)\.\d+"
_NUMBER = rf"(?<![^\W_])(?:{DIGITS})"
_OPERATOR = r"%?[ \t]*(?:\*\*|[-+*/^x\u00d7\u00f7])[ \t]*[-$€£]?"
NUMBER = re.compile(
    rf"{_NUMBER}(?:{_OPERATOR}{_NUMBER})+|\\d?frac\s*\{{[^{{}}]*\}}\s*\{{[^{{}}]*\}}"
    rf"|(?:(?<![^\W_])(?<![)\]}}])(?P<sign>-)[$€£]?)?(?P<digits>{_NUMBER})"
)
NUMBERING = re.compile(r"^[ \t]*(\d+)[.)][ \t]+(?=\S)", re.MULTILINE)
LIST_MARK = re.compile(r"^[ \t]*(?:\d+[.)]|[-*•])[ \t]+", re.MULTILINE)

_BRACKETED = r"(?<![^\W_])[(\[]([A-Za-z])[)\]]"
# "A:" opens an answer to "Q:" at least as often as it names an option.
_OPENING = r"[ \t*_>#-]*(?:([A-Z])[*_]*(?:[).]|(?<!A):)|([a-z])[*_]*\))(?![^\s*_])"
OPTION = re.compile(
    rf"{_BRACKETED}|\b(?:[Oo]ption|[Cc]hoice)\s+[*_\"']*([A-Z])(?![^\W_]|')|^{_OPENING}",
    re.MULTILINE,
)
OPTION_FIRST = re.compile(rf"[ \t*_>#-]*{_BRACKETED}|{_OPENING}")
# Behind a mark a bare letter is enough, unless it can be the word "A", "a" or "I".
MARKED_OPTION = re.compile(
    rf"{_BRACKETED}|(?<![^\W_])(?:([B-HJ-Z])(?![-']?[^\W_])|([A-Za-z])(?=[\W_]*$|[).,:]))"
)
CORRECT_OPTION = re.compile(
    r"[(\[]([A-Za-z])[)\]][*_]*\s+is\s+(?:the\s+)?(?:correct|right|best)\b", re.IGNORECASE
)
LETTER_ALONE = re.compile(r"[\W_]*([A-Za-z])[\W_]*")

WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
YES_OR_NO = {"yes": True, "no": False}
TRUE_OR_FALSE = {**YES_OR_NO, "true": True, "false": False}
_SPOKEN = re.compile(r"(\bnot\s+|n't\s+)?\b(yes|true|false|no(?![ \t]+\w))\b", re.IGNORECASE)
WRAPPINGS = ("**", "__", "*", "_", "`", '"', "'")
TYPOGRAPHY = str.maketrans(
    {"\u2212": "-", "\u2013": "-", "\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"'}
)
THIN_COMMA = re.compile(r"(?<=\d)(?:\{,\}|\\,|[\u00a0\u2009\u202f])(?=\d{3})")


def plain(text: str) -> str:
    """Return text with plain signs for typographic quotes, dashes and thousands marks.

    All functions below expect such text.
    """
    return THIN_COMMA.sub(",", text.translate(TYPOGRAPHY)).strip()


def after_mark(text: str, mark: re.Pattern[str] = ANSWER) -> str:
    """Return what follows the last mark, or empty text."""
    ends = [match.end() for match in mark.finditer(text)]
    return re.sub(r"^[*_]+\s+", "", text[ends[-1] :]).strip() if ends else ""


def marked_sentence(text: str, mark: re.Pattern[str] = ANSWER) -> str:
    """Return the first sentence after the last mark, or empty text."""
    sentences = SENTENCE_END.split(after_mark(text, mark))
    return next((found for found in sentences if re.search(r"[^\s*_:`$.,-]", found)), "")


def find_number(text: str) -> str | None:
    """Return the number a text answers with, as it is written but for the currency."""
    text = _without_numbering(text)
    marked = marked_sentence(text)
    if NUMBER.search(marked):
        return _from_sentence(marked, 0)
    sentences = [found for found in SENTENCE_END.split(text) if NUMBER.search(found)]
    return _from_sentence(sentences[-1], -1) if sentences else None


def _from_sentence(sentence: str, position: int) -> str | None:
    for result in reversed(re.split("[=≈]", sentence)[1:]):
        if found := _numbers(result):
            return found[0]
    found = _numbers(sentence)
    return found[position] if found else None


def _numbers(text: str) -> list[str]:
    return [
        (match["sign"] or "") + match["digits"]
        for match in NUMBER.finditer(text)
        if match["digits"]
    ]


def _without_numbering(text: str) -> str:
    """Return text without list numbers, unless they are no list or the only numbers there."""
    found = [int(match[1]) for match in NUMBERING.finditer(text)]
    if any(value not in (1, before + 1) for before, value in zip([0, *found], found, strict=False)):
        return text
    shortened = NUMBERING.sub("", text)
    return shortened if NUMBER.search(shortened) else text


def find_option(text: str) -> str | None:
    """Return the option letter a text chooses, in upper case."""
    if alone := LETTER_ALONE.fullmatch(text):
        return alone[1].upper()
    marked = marked_sentence(text, CHOICE)
    found = list(MARKED_OPTION.finditer(marked))
    if found:
        first, *others = found
        between = marked[first.end() : others[0].start()] if others else "only"
        joined = re.fullmatch(r"[\W_]*(?:or|and)?[\W_]*", between)
        return None if joined and _letter(first) != _letter(others[0]) else _letter(first)
    letters = {_letter(match) for match in OPTION.finditer(text)}
    if len(letters) > 1:
        return _settled_option(text)
    return letters.pop() if letters else None


def _settled_option(text: str) -> str | None:
    lines = [line for line in text.splitlines() if line.strip()]
    for line in (*lines[-1:], *lines[:1]):
        if alone := LETTER_ALONE.fullmatch(line):
            return alone[1].upper()
    # A line of its own kind before it would make the last line the end of a list of options.
    if OPTION_FIRST.match(lines[-1]) and not OPTION_FIRST.match(lines[-2] if lines[1:] else text):
        letters = {_letter(match) for match in OPTION.finditer(lines[-1])}
        if len(letters) == 1:
            return letters.pop()
    correct = {match[1].upper() for match in CORRECT_OPTION.finditer(text)}
    return correct.pop() if len(correct) == 1 else None


def _letter(match: re.Match[str]) -> str:
    return next(group for group in match.groups() if group).upper()


def find_truth(text: str, words: Mapping[str, bool]) -> bool | None:
    """Return what a text says with one of the words, or None where it says neither or both."""
    said = _said(marked_sentence(text), words) or _said(text, words)
    return said.pop() if len(said) == 1 else None


def _said(text: str, words: Mapping[str, bool]) -> set[bool]:
    found = [word.casefold() for word in WORD.findall(text)]
    before = found[-2] if len(found) > 1 else ""
    ends = {words[word] for word in found[:1] if word in words}
    ends |= {words[word] != _negates(before) for word in found[-1:] if word in words}
    spoken = ((match[2].casefold(), bool(match[1])) for match in _SPOKEN.finditer(text))
    return ends or {words[word] != negated for word, negated in spoken if word in words}


def _negates(word: str) -> bool:
    return word == "not" or word.endswith("n't")


def bare(text: str) -> str:
    """Return text folded in case and white space, without quotes, emphasis, final period."""
    folded = " ".join(text.split()).casefold()
    while (shorter := _unwrapped(folded.removesuffix(".").strip())) != folded:
        folded = shorter
    return folded


def _unwrapped(text: str) -> str:
    for mark in WRAPPINGS:
        if text.startswith(mark) and text[len(mark) :].endswith(mark):
            return text[len(mark) : -len(mark)].strip()
    return text


def words(text: str) -> list[str]:
    """Return the words of a list, without its separators, numbering and bullets."""
    listed = re.split(r"[\s,;]+", LIST_MARK.sub("", text).casefold())
    stripped = (word.strip("*_`\"'.") for word in listed)
    return [word for word in stripped if word]
