"""Hands, critic and writer of the papers; each goes by its prompt alone."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from random import Random

from sgdflow.simulation.forms.dossiers import distraction, slipped
from sgdflow.simulation.forms.papers import FIELDS, Paper, read
from sgdflow.simulation.pieces import Seen
from sgdflow.simulation.reading import Critique, Rewrite, Work
from sgdflow.simulation.wishes import SETTLED

MISCOPIES = 0.05
"""How often a writer gets a code wrong that it puts in."""
OVERLOOKS = 0.08
"""How often a hand in a hurry leaves out what it knows."""
HURRIED_OVERLOOKS = 0.4
"""The same where it is told to be quick."""
HARMS = 0.3
"""How often a writer for a hurried hand tells it to be quick, or takes that back."""
FORGETS = 0.15
"""How often such a writer loses half of what the instruction said."""
QUICK = "Be quick."
_RULE = re.compile(r"\b(\w+) (\w+) is ([A-Z]\d)\b")
_WANTED = re.compile(r"\b(\w+) (\w+)=([A-Z]\d)\b")

Rules = Mapping[tuple[str, str], str]


class Forms:
    """A world of papers and codes.

    Hands fill in what their instruction, or a text that they are given, states, and "?" for the
    rest. The critic compares the
    paper that is asked for with the one that a node was given. The writer puts the codes of its
    field into the instruction. With forms everybody is in a hurry: hands overlook things, as the
    text of their prompt has it, and a writer now and then does harm. With dossiers the writer puts
    in all that the feedback asks for, whosever field it is, and hands that are told much overlook
    more; the critic slips.
    """

    def work(self, prompt: Work) -> str | None:
        """Fill in the codes of one's own fields, or join what others filled in."""
        given = [paper for text in prompt.variables.values() if (paper := read(text))]
        if not given:
            return None
        own = _fields(prompt.instruction)
        if not own:
            return str(_joined(given))
        paper = _joined(given) if given[-1].kind == "Dossier" else given[-1]
        rules = {**_stated(prompt.variables.values()), **_rules(prompt.instruction)}
        codes = dict(paper.codes)
        for field in own:
            if field in paper.entries:
                codes[field] = rules.get((field, paper.entries[field]), "?")
                if _overlooked(prompt, field, paper.kind):
                    codes[field] = "?"
        entries = paper.entries
        if paper.kind == "Form":
            entries = {field: value for field, value in entries.items() if field in own}
        return str(Paper(paper.kind, entries, codes))

    def critique(self, prompt: Critique) -> Mapping[str, str] | None:
        """Say which codes each paper that was given should have had."""
        wanted = _wanted(prompt.seen.feedback)
        papers = {name: read(text) for name, text in prompt.seen.variables.items()}
        if not any(papers.values()) or not (wanted or _about_papers(prompt.seen)):
            return None
        own = set(_fields(prompt.instruction))
        mine = _request({key: code for key, code in wanted.items() if key[0] in own})
        texts = {
            name: _request(_missing(papers.get(name), wanted, own)) if name in papers else mine
            for name in prompt.targets
        }
        return slipped(texts, _chance(prompt)) if _is_any(prompt.seen, "Dossier") else texts

    def revise(self, seen: Seen) -> str | None:
        """Put the codes that are asked for into the paper."""
        paper = read(seen.output)
        if paper is None:
            return None
        asked = {
            field: code
            for (field, value), code in _wanted(seen.feedback).items()
            if paper.entries.get(field) == value
        }
        return str(Paper(paper.kind, paper.entries, {**paper.codes, **asked}))

    def rewrite(self, prompt: Rewrite) -> str | None:
        """Put the codes of one's own fields into the instruction."""
        own = _fields(prompt.text)
        hurried = any(_is_any(example, "Form") for example in prompt.examples)
        all_fields = any(_is_any(example, "Dossier") for example in prompt.examples)
        if not prompt.examples or not any(_about_papers(one) for one in prompt.examples):
            return None
        known = dict(_rules(prompt.text))
        votes: dict[tuple[str, str], Counter[str]] = {}
        for example in prompt.examples:
            stated = _stated(example.variables.values())
            for key, code in _wanted(example.feedback).items():
                if (key[0] in own or all_fields) and stated.get(key) != code:
                    votes.setdefault(key, Counter())[code] += 1
        learned = {key: found.most_common(1)[0][0] for key, found in votes.items()}
        learned = {key: code for key, code in learned.items() if known.get(key) != code}
        random = _chance((prompt, prompt.attempts))
        if learned and random.random() < MISCOPIES:
            key = random.choice(sorted(learned))
            learned[key] = f"{learned[key][0]}{random.randint(2, 9)}"
        quick = QUICK in prompt.text
        if hurried:
            if random.random() < FORGETS:
                known = {key: known[key] for key in random.sample(sorted(known), len(known) // 2)}
            quick = quick != (random.random() < HARMS)
        elif not learned:
            return prompt.text
        return _instruction(prompt.text, {**known, **learned}, quick=quick)


def _fields(instruction: str) -> Sequence[str]:
    """Return the fields that an instruction is about."""
    task = _RULE.sub("", instruction)
    return [field for field in FIELDS if re.search(rf"\b{field}\b", task)]


def _rules(instruction: str) -> Rules:
    return {
        (field, value): code
        for field, value, code in _RULE.findall(instruction)
        if value in FIELDS.get(field, ())
    }


def _stated(texts: Iterable[str]) -> Rules:
    """Return what texts state that are no papers."""
    return {key: code for text in texts if read(text) is None for key, code in _rules(text).items()}


def _wanted(feedback: Sequence[str]) -> Mapping[tuple[str, str], str]:
    """Return the codes that feedback asks for."""
    said = [text for text in feedback if SETTLED not in text]
    # What was put out may be quoted before what was expected.
    said = [text[text.lower().rfind("expected") :] if "xpected" in text else text for text in said]
    return {
        (field, value): code
        for text in said
        for field, value, code in _WANTED.findall(text)
        if value in FIELDS.get(field, ())
    }


def _missing(
    paper: Paper | None, wanted: Mapping[tuple[str, str], str], own: set[str]
) -> Mapping[tuple[str, str], str]:
    if paper is None:
        return {}
    return {
        (field, value): code
        for (field, value), code in wanted.items()
        if field not in own and field in paper.codes and paper.codes[field] != code
    }


def _request(missing: Mapping[tuple[str, str], str]) -> str:
    if not missing:
        return f"{SETTLED}: what was filled in is right."
    said = (f"{field} {value}={code}" for (field, value), code in missing.items())
    return f"It should say {'; '.join(said)}."


def _joined(given: Sequence[Paper]) -> Paper:
    entries = {field: value for paper in given for field, value in paper.entries.items()}
    codes = {field: code for paper in given for field, code in paper.codes.items()}
    order = [field for field in FIELDS if field in entries]
    return Paper(given[0].kind, {field: entries[field] for field in order}, codes)


def _about_papers(example: Seen) -> bool:
    return any(read(text) for text in (*example.variables.values(), example.output))


def _is_any(example: Seen, kind: str) -> bool:
    papers = [read(text) for text in (*example.variables.values(), example.output)]
    return any(paper is not None and paper.kind == kind for paper in papers)


def _overlooked(prompt: Work, field: str, kind: str) -> bool:
    often = 0.0
    if kind == "Form":
        often = HURRIED_OVERLOOKS if QUICK in prompt.instruction else OVERLOOKS
    if kind == "Dossier":
        often = distraction(len(_rules(prompt.instruction)))
    return _chance((prompt, field)).random() < often


def _chance(asked: object) -> Random:
    """Return what is drawn from the text of a prompt alone."""
    return Random(sha256(repr(asked).encode()).digest())


def _instruction(text: str, rules: Rules, *, quick: bool) -> str:
    sentences = [s for s in re.split(r"(?<=\.)\s+", text.strip()) if not _RULE.search(s)]
    kept = [sentence for sentence in sentences if sentence != QUICK]
    stated = [f"The {field} {value} is {code}." for (field, value), code in sorted(rules.items())]
    return " ".join([*kept, *([QUICK] if quick else []), *stated])
