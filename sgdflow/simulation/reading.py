"""What a simulated model understands of a prompt: tagged sections and the reply it asks for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from sgdflow.llm import Message
from sgdflow.simulation.asking import REPLY_HEADING, Asked, split
from sgdflow.simulation.pieces import Piece, Seen, pieces, shown

_MARKED = re.compile(r"<[a-z_]\w*(?P<mark>(?:-[0-9a-f]{4,})?)(?: (?:name|from)=\"[^\"]*\")?>", re.I)
_FRAMES = re.compile(r"# How the model is asked: .*?</frame[^>]*>\n\n", re.DOTALL)
_PROGRAM = re.compile(
    r"^`([\w.]+)` = (model|python [\w.]+)\(([^;)\n]*)(?:; (?:told )?([^)\n]*))?\)$", re.MULTILINE
)
_LAST = re.compile(r"^Output: ([\w.]+)$", re.MULTILINE)
_MOST = re.compile(r"^(?:Put these .*|Name) at most (\d+) (?:groups|causes)\b", re.MULTILINE)
_PIECES = re.compile(r"^Choose at most (\d+) of the pieces\b", re.MULTILINE)
_SHOWN = frozenset({"variable", "given", "output", "feedback", "example", "success", "times"})
"""What stands in a prompt and says of nothing that it is to be done."""
_SCALE = re.compile(r"the score is a number from (\S+) \(.*?\) to (\S+) \(")


@dataclass(frozen=True, slots=True)
class Work:
    """A member's turn: do what the instruction says with the variables."""

    instruction: str
    variables: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Critique:
    """A critic's turn: say for each of `targets` how that variable should change."""

    instruction: str
    seen: Seen
    targets: tuple[str, ...]
    right: tuple[Seen, ...] = ()
    """The member's work where the answer was right."""


@dataclass(frozen=True, slots=True)
class Revise:
    """A turn at one value: write it as its critics ask."""

    seen: Seen
    """The value stands as the output."""


@dataclass(frozen=True, slots=True)
class Rewrite:
    """A writer's turn: write the text of a parameter anew."""

    text: str
    examples: tuple[Seen, ...]
    seed: int = 0
    """Tells apart several ways to write the same."""
    attempts: tuple[Attempt, ...] = field(default=(), repr=False)
    summaries: tuple[str, ...] = field(default=(), repr=False)
    """What was found in many pieces of work, in the place of examples."""
    edits: bool = field(default=False, repr=False)
    """Whether it asks for edits of the text's lines."""
    request: str = field(default="", repr=False)
    """The prompt: what differs in it, frames aside, may make a writer decide differently."""
    cause: str = field(default="", repr=False)
    """What is to be mended; empty: all."""


@dataclass(frozen=True, slots=True)
class SumUp:
    """A turn at many pieces of work, or at what many readers ask for, or at earlier summaries."""

    text: str
    """Of the parameter; empty where it is about a value."""
    examples: tuple[Seen, ...]
    feedback: tuple[str, ...]
    summaries: tuple[str, ...]
    seed: int = 0


@dataclass(frozen=True, slots=True)
class TellApart:
    """A turn at many pieces of work: group those that the same would mend, or name causes."""

    text: str
    """Of the parameter."""
    examples: tuple[Seen, ...]
    most: int
    groups: bool
    """Whether groups of the examples are asked for, or causes."""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Choose:
    """A turn at right work, by number: say which of it a member should be shown."""

    pieces: tuple[tuple[int, str], ...]
    failed: tuple[Seen, ...]
    most: int


@dataclass(frozen=True, slots=True)
class Attempt:
    """A text that was tried, and how well it did; None where that is not said."""

    text: str
    score: float | None


@dataclass(frozen=True, slots=True)
class Review:
    """A reviewer's turn: say what the text of a parameter lacks."""

    text: str
    examples: tuple[Seen, ...]
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Assess:
    """An evaluator's turn: say whether an output is what was expected."""

    output: str
    expected: str


@dataclass(frozen=True, slots=True)
class Judge:
    """A judge's turn: score an output by a rubric."""

    rubric: str
    output: str
    expected: str
    """Empty where nothing is."""
    lowest: float
    highest: float


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a program."""

    name: str
    is_model: bool
    predecessors: tuple[str, ...]
    parameters: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Redesign:
    """A turn at a whole program: write anew those parameters that its runs show to be lacking."""

    lines: tuple[Line, ...]
    output: str
    parameters: Mapping[str, str]
    fixed: Mapping[str, str]
    runs: tuple[Seen, ...]
    seed: int = 0


Prompt = (
    Work
    | Critique
    | Revise
    | Rewrite
    | SumUp
    | TellApart
    | Choose
    | Review
    | Assess
    | Judge
    | Redesign
)


def read(messages: Sequence[Message], seed: int = 0) -> tuple[Prompt, Asked]:
    """Return what the prompt wants done and in which form."""
    texts = [m.content for m in messages if m.role == "user"]
    # Turns may stand before what is asked, and what is wrong with a reply behind it.
    text = next((one for one in reversed(texts) if REPLY_HEADING.search(one)), texts[0])
    body, asked = split(text)
    first = _MARKED.search(body)
    mark = first["mark"] if first else ""
    found = pieces(body, mark)
    examples = tuple(one for p in found if p.tag == "example" for one in shown(p.text, mark))
    parameters = {p.name: p.text for p in found if p.tag == "parameter"}
    summaries = tuple(p.text for p in found if p.tag == "summary")
    (seen, *_) = shown(body, mark)
    if asked.tag.partition("-")[0] == "summary":
        text = "\n".join(parameters.values())
        return SumUp(text, examples, seen.feedback, summaries, seed), asked
    if most := _PIECES.search(body):
        right = tuple((int(p.name), p.text) for p in found if p.tag == "piece")
        return Choose(right, examples, int(most[1])), asked
    if parameters and asked.names:
        fixed = {p.name: p.text for p in found if p.tag == "fixed"}
        return Redesign(_lines(body), _last(body), parameters, fixed, examples, seed), asked
    if parameters:
        return _of_parameter(text, body, found, examples, asked, seed), asked
    return _of_value(messages, body, found, seen, mark, asked), asked


def _of_value(
    messages: Sequence[Message],
    body: str,
    found: Sequence[Piece],
    seen: Seen,
    mark: str,
    asked: Asked,
) -> Judge | Assess | Revise | Critique | Work:
    """Return what is to be done with values."""
    by_tag = {piece.tag: piece.text for piece in found}
    if "rubric" in by_tag and (scale := _SCALE.search(body)):
        said = seen.output, by_tag.get("expected", "")
        return Judge(by_tag["rubric"], *said, float(scale[1]), float(scale[2]))
    if "expected" in by_tag:
        return Assess(seen.output, by_tag["expected"])
    if "written" in by_tag:
        return Revise(replace(seen, output=by_tag["written"]))
    told = [piece.text for piece in found if piece.tag not in _SHOWN]
    system = [m.content for m in messages if m.role == "system"]
    instruction = "\n".join(told if told else system)
    if "output" in by_tag:
        work = [one for p in found if p.tag == "success" for one in shown(p.text, mark)]
        # What is not shown of right work is as above.
        right = tuple(replace(w, variables={**seen.variables, **w.variables}) for w in work)
        return Critique(instruction, seen, asked.names, right)
    return Work(instruction, seen.variables or {"question": body})


def _of_parameter(
    text: str,
    body: str,
    found: Sequence[Piece],
    examples: tuple[Seen, ...],
    asked: Asked,
    seed: int,
) -> TellApart | Review | Rewrite:
    """Return what is to be done about a parameter."""
    parameter = next(piece.text for piece in found if piece.tag == "parameter")
    kind = asked.tag.partition("-")[0]
    if most := _MOST.search(body):
        return TellApart(parameter, examples, int(most[1]), kind == "groups", seed)
    if kind == "critique":
        return Review(parameter, examples, seed)
    summaries = tuple(piece.text for piece in found if piece.tag == "summary")
    attempts = tuple(_attempt(p.name, p.text) for p in found if p.tag == "attempt")
    edits = any(piece.tag == "lines" for piece in found)
    cause = next((piece.text for piece in found if piece.tag == "cause"), "")
    request = _FRAMES.sub("", text)
    return Rewrite(parameter, examples, seed, attempts, summaries, edits, request, cause)


def _lines(body: str) -> tuple[Line, ...]:
    def names(text: str) -> tuple[str, ...]:
        return tuple(name.strip() for name in text.split(",") if name.strip())

    return tuple(
        Line(name, kind == "model", names(given), names(told.replace("nothing", "")))
        for name, kind, given, told in _PROGRAM.findall(body)
    )


def _last(body: str) -> str:
    found = _LAST.search(body)
    return found[1] if found else ""


def _attempt(name: str, text: str) -> Attempt:
    score = re.search(r"score ([\d.]+(?:e-\d+)?)", name)
    return Attempt(text, float(score[1].rstrip(".")) if score else None)
