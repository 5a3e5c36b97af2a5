"""How simulated models sum up: each sentence that is lacking, with the queries it rests on."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

_LINE = re.compile(r"^- (.+) \((\d+)\)$", re.MULTILINE)
_SENTENCE_ENDS = re.compile(r"(?<=\.)\s+")
NOTHING = "Nothing is lacking."


def summed_up(text: str, better: str | None, queries: int) -> str:
    """Say which sentences a better text has that this one lacks, and on how many queries."""
    return _told(Counter(dict.fromkeys(lacking(text, better or ""), queries)))


def lacking(text: str, better: str) -> Sequence[str]:
    """Return the sentences of a better text that this one lacks."""
    return [one for one in _SENTENCE_ENDS.split(better) if one and one not in text]


def joined(summaries: Iterable[str]) -> str:
    """Add summaries up."""
    return _told(_counted(summaries))


def requests(feedback: Sequence[str], settled: str) -> str:
    """Put together what several ask for; what asks for nothing is left out where others ask."""
    asking = [one for one in dict.fromkeys(feedback) if not one.startswith(settled)]
    return " ".join(asking) or feedback[0]


def written_from(text: str, summaries: Iterable[str]) -> str:
    """Return a text with all that is lacking, what rests on most queries last: it counts."""
    found = [one for one, _ in reversed(_counted(summaries).most_common()) if one not in text]
    return " ".join([text, *found])


def _counted(summaries: Iterable[str]) -> Counter[str]:
    found: Counter[str] = Counter()
    for summary in summaries:
        for sentence, count in _LINE.findall(summary):
            found[sentence] += int(count)
    return found


def _told(counts: Counter[str]) -> str:
    lines = [f"- {sentence} ({count})" for sentence, count in counts.most_common()]
    return "\n".join(lines) or NOTHING
