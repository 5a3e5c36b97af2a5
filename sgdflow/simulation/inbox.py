"""Tickets that are sorted by what their words mean, and drafts of replies to them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from sgdflow.simulation.pieces import Seen
from sgdflow.simulation.reading import Critique, Rewrite, Work
from sgdflow.simulation.wishes import SETTLED

_TICKET = re.compile(r"^Ticket \d+\. ")
_LISTED = re.compile(r"^\[.*\]$", re.DOTALL)
_QUOTED = re.compile(r'"([^"\n]+)"')
_MEANS = re.compile(r'"([^"\n]+)" means (\w+)\.')
_SHOULD = re.compile(r"\bThe (\w+) should be (\w+)\.")
_LACKS = re.compile(r"\bIt lacks: ([^.\n]+)\.")
_GRADES = re.compile(r"\bgrade\b", re.IGNORECASE)
_WRITES = re.compile(r"\b(?:draft|reply)\b", re.IGNORECASE)
_LIKE = "For tickets of such words:"
_GRADE = 5


class Inbox:
    """A world of tickets, which begin with `Ticket 12.`.

    Who grades goes by the words that its instruction puts in quotes, who drafts says those; all
    others sort by what the words that they are given as a list mean, as far as they were told
    (`"invoice" means billing.`). The critic hands on what a value should be; the writer puts the
    words of the queries, or what a draft lacks, into the instruction.
    """

    def work(self, prompt: Work) -> str | None:
        """Sort a ticket, draft the reply to it or grade a draft."""
        given = {name: text for name, text in prompt.variables.items() if not _TICKET.match(text)}
        if len(given) == len(prompt.variables):
            return None
        quoted = _QUOTED.findall(_MEANS.sub("", prompt.instruction))
        if _GRADES.search(prompt.instruction):
            return _graded(quoted, " ".join(given.values()))
        if _WRITES.search(prompt.instruction):
            return f"{', '.join(given.values())}: {', '.join(['Hello', *quoted])}."
        meanings = dict(_MEANS.findall(prompt.instruction))
        return next((meanings[one] for one in _words(given) if one in meanings), "not known")

    def critique(self, prompt: Critique) -> Mapping[str, str] | None:
        """Say what each value should have been; a draft is told all that is asked for."""
        given = prompt.seen.variables
        if not _about_tickets([prompt.seen]):
            return None
        should = _should(prompt.seen.feedback)
        lacking = [f"It lacks: {word}." for word in _lacking(prompt.seen.feedback)]
        told = [*(f"The {name} should be {value}." for name, value in should.items()), *lacking]
        everything = " ".join([_LIKE, *told]) if told else ""

        def asked(name: str) -> str:
            if given.get(name, "").startswith("{") or name not in given:
                return everything
            wanted = should.get(name)
            right = wanted is None or given[name] == wanted
            return "" if right else f"{_LIKE} The {name} should be {wanted}."

        return {name: asked(name) or f"{SETTLED}: it is right." for name in prompt.targets}

    def revise(self, seen: Seen) -> str | None:
        """Leave every value to who wrote it."""
        return None

    def rewrite(self, prompt: Rewrite) -> str | None:
        """Put in what words mean, and what is to be said."""
        if not _about_tickets(prompt.examples):
            return None
        meanings = dict(_MEANS.findall(prompt.text))
        said: list[str] = []
        for one in prompt.examples:
            words = _words(one.variables)
            for value in _should(one.feedback).values():
                meanings.update(dict.fromkeys(words, value))
            said += [] if words else _lacking(one.feedback)
        told = [f'Say "{word}".' for word in dict.fromkeys(said) if f'"{word}"' not in prompt.text]
        learned = [f'"{word}" means {value}.' for word, value in sorted(meanings.items())]
        return " ".join([" ".join(_MEANS.sub("", prompt.text).split()), *told, *learned])


def _graded(wanted: Sequence[str], draft: str) -> str:
    lacking = [word for word in wanted if word.casefold() not in draft.casefold()]
    grade = _GRADE - round((_GRADE - 1) * len(lacking) / (len(wanted) or 1))
    said = f"It lacks: {', '.join(lacking)}." if lacking else "It lacks nothing."
    return f"{grade}: {said}"


def _words(variables: Mapping[str, str]) -> Sequence[str]:
    """Return the words that are given as lists."""
    listed = [text for text in variables.values() if _LISTED.match(text)]
    return [word for text in listed for word in _QUOTED.findall(text)]


def _about_tickets(examples: Iterable[Seen]) -> bool:
    return any(_TICKET.match(text) for one in examples for text in one.variables.values())


def _should(feedback: Iterable[str]) -> Mapping[str, str]:
    return {name: value for text in feedback for name, value in _SHOULD.findall(text)}


def _lacking(feedback: Iterable[str]) -> Sequence[str]:
    found = [said for text in feedback for said in _LACKS.findall(text)]
    return [word for said in found for word in said.split(", ")]
