"""Reply formats: what a model is asked to write, and how it is read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from sgdflow.errors import ReplyError, listed, shortly
from sgdflow.prompting.dressing import thoughts_end, without_thoughts
from sgdflow.prompting.objects import in_object, plain_numbers, the_object
from sgdflow.prompting.schemas import Field, Schema

REASONING = "reasoning"
"""Key of a JSON reply for the model's own use."""
_NUMBERED_LINE = re.compile(
    r"^[ \t]*(?P<number>\d+)[.)][ \t]+(?P<rest>)(?:\((?P<name>[^()\n]+)\)[ \t]*:?[ \t]*)?",
    re.MULTILINE,
)
LABEL = re.compile(r"\A[\s*_#]*reasoning[\s*_]*:[*_]*\s*", re.IGNORECASE)
"""How a reply begins that is asked to reason first; the next member would take it up."""
_PLACEHOLDER = re.compile(r"[\s.\u2026]+|your output", re.IGNORECASE)
"""What a form shows where an output belongs: small models copy it."""
_SHOWN = 20
"""Numbers, or names, of a reply that a message repeats."""


@dataclass(frozen=True, slots=True)
class ReplyFormat:
    """The form of a reply that carries one text, or one text for each of several names."""

    format: Literal["text", "tagged", "numbered", "json"] = "tagged"
    tag: str = "output"
    partial: bool = False
    """A JSON reply may leave names out, and reasoning alone changes nothing."""
    untagged: Literal["whole", "last_line", "fail"] = "fail"
    """What a single text without its tags is taken for; an unclosed tag then takes what follows."""
    truncated: Literal["fail", "keep"] = "fail"
    """keep: a text that was cut off at the token limit is used as far as it goes."""
    reasoning: Literal["first", "optional", "none"] = "optional"
    """Whether the prompt asks the model to write down its reasoning before the text that counts."""
    schema: Schema | None = None
    """What a JSON reply without names has to be; then it is one mapping, and no text."""

    @property
    def template(self) -> str:
        """Return the template that asks for this format."""
        return f"reply/{self.format}.jinja"

    def asking(self, names: Sequence[str] = ()) -> Asking:
        """Return what templates need to ask for this format."""
        fields = tuple(self.schema.fields) if self.schema else ()
        return Asking(
            self.template, self.tag, tuple(names), self.partial, self.format, self.reasoning, fields
        )

    def accepts(self, names: Sequence[str]) -> bool:
        """Return whether a reply in this format can tell these names apart."""
        if self.partial and (not names or self.format != "json"):
            return False
        if self.schema is not None:
            return not names
        return {"text": not names, "numbered": bool(names)}.get(self.format, True)

    def read(self, text: str, names: Sequence[str] = (), *, cut: bool = False) -> Mapping[str, Any]:
        """Return the text for each name, in the order of `names`.

        Without names the one text, or the mapping of a schema, stands under ''. Raises
        ReplyError for anything missing,
        empty or given twice; no part of a malformed reply is used. Nor is one that was `cut`
        off, unless that is declared or the cut came after a whole text.
        """
        if cut:
            return self._read_cut(text, names)
        text = self._without_thoughts(text).strip()
        if self.schema is not None:
            return {"": self._structured(text, self.schema)}
        found = self._found(text, names)
        try:
            "".join(found.values()).encode()
        except UnicodeEncodeError as error:
            raise ReplyError("it holds half a character (a lone surrogate)") from error
        empty = [name or self.tag for name, value in found.items() if not value.strip()]
        if empty:
            raise ReplyError(f"it is empty where {listed(empty)} should be")
        for value in map(str.strip, found.values()) if self.format == "tagged" else ():
            if _PLACEHOLDER.fullmatch(value):
                raise ReplyError(f"it repeats '{value}', which stands for the {self.tag}")
        return {name: value.strip() for name, value in found.items()}

    def reasoning_in(self, text: str) -> str:
        """Return what a JSON reply says under its own key for it; empty where it says nothing."""
        try:
            found = the_object(text, [self.tag], [self.tag, REASONING]).get(REASONING)
        except ReplyError:
            return ""
        return found.strip() if isinstance(found, str) and self.tag != REASONING else ""

    @staticmethod
    def _structured(text: str, schema: Schema) -> Mapping[str, Any]:
        value = plain_numbers(the_object(text, schema.names, schema.names))
        schema.check(value)
        return value

    def _read_cut(self, text: str, names: Sequence[str]) -> Mapping[str, Any]:
        forgiving = self.format == "tagged" and self.untagged != "fail"
        try:
            if self.truncated == "keep":
                return self.read(text, names)
            if forgiving:
                return replace(self, untagged="fail").read(text, names)
        except ReplyError:
            pass
        raise ReplyError("it was cut off at the token limit", "truncated")

    def _without_thoughts(self, text: str) -> str:
        """Leave out what a reasoning model thought aloud, also where only the end of it is seen."""
        text = without_thoughts(text)
        end = thoughts_end(text)
        return text if end is None or self._holds(text, *end) else text[end[1] :]

    def _holds(self, text: str, start: int, end: int) -> bool:
        """Return whether a closing tag for thoughts is a part of what the reply gives."""
        match self.format:
            case "tagged":
                marks = re.finditer(rf"<(/?){re.escape(self.tag)}[\s>]", text)
                before, after = "/", ""
                for mark in marks:
                    if mark.start() > start:
                        after = mark[1]
                        break
                    before = mark[1]
                return (before, after) == ("", "/")
            case "json":
                return in_object(text, start)
            case _:
                return text[end : end + 2].lstrip(" \t\r")[:1] not in ("", "\n")

    def _found(self, text: str, names: Sequence[str]) -> Mapping[str, str]:
        match self.format:
            case "tagged":
                return self._tagged(text, names)
            case "numbered":
                return _numbered(text, names)
            case "json":
                return self._json(text, names)
            case "text":
                return {"": text}

    def _tagged(self, text: str, names: Sequence[str]) -> Mapping[str, str]:
        try:
            ends = self._ends(text, named=bool(names))
            found = {name: self._between(text, name, ends.get(name, ())) for name in names or ("",)}
        except ReplyError:
            plain = None if len(names) > 1 else self._plain(text, "".join(names))
            if plain is None:
                raise
            return {"".join(names): plain}
        (name, value), *others = found.items()
        if others or self.untagged == "fail" or not _PLACEHOLDER.fullmatch(value.strip()):
            return found
        # What it has to say stands before the tags, in which it copied the form.
        pair = rf"<{re.escape(self.tag)}(?:\s[^<>]*)?>[^<>]*</{re.escape(self.tag)}\s*>"
        return {name: self._whole(re.sub(pair, "", text)) or value}

    def _opening(self, name: str) -> str:
        attribute = rf"""\s+name\s*=\s*["']{re.escape(name)}["']\s*""" if name else ""
        return rf"<{re.escape(self.tag)}{attribute}>"

    def _plain(self, text: str, name: str) -> str | None:
        """Return what a reply without the right tags plainly means, None where it does not."""
        if self.untagged == "fail":
            return None
        tag = re.escape(self.tag)
        opening = rf"<{tag}\s*>|{self._opening(name)}" if name else rf"<{tag}(?:\s[^<>]*)?>"
        before, *parts = re.split(opening, text, flags=re.IGNORECASE)
        closing = re.compile(rf"</{tag}\s*>", re.IGNORECASE)
        if not parts:
            return self._whole(closing.sub("", before))
        found = [closing.split(part) for part in parts]
        if any(between.strip() for _, *after in found for between in after[:-1]):
            return None  # the text itself may hold the closing tag
        inside = {within.strip() for within, *_ in found}
        return inside.pop() if len(inside) == 1 else None

    def _whole(self, text: str) -> str:
        """Return what a reply says outside of tags."""
        text = text.strip()
        if self.reasoning == "first":
            text = LABEL.sub("", text)
        return text.splitlines()[-1] if text and self.untagged == "last_line" else text

    def _ends(self, text: str, *, named: bool) -> Mapping[str, Sequence[int]]:
        """Return where the opening tags of each name end; without names they have none."""
        if not named:
            return {"": [one.end() for one in re.finditer(self._opening(""), text)]}
        # It looks ahead, as what a quote begins may hold another tag.
        begins = rf"""<{re.escape(self.tag)}\s+name\s*=\s*["'](?=([^"']*)["']\s*>())"""
        found: dict[str, list[int]] = {}
        for one in re.finditer(begins, text):
            found.setdefault(one[1], []).append(one.end(2))
        return found

    def _between(self, text: str, name: str, opened: Sequence[int]) -> str:
        shown = f'<{self.tag} name="{name}">' if name else f"<{self.tag}>"
        if not opened:
            raise ReplyError(f"{shown} is missing")
        if len(opened) > 1:
            raise ReplyError(f"{shown} stands {len(opened)} times; write it exactly once")
        following = re.compile(rf"<{re.escape(self.tag)}[\s>]").search(text, opened[0])
        rest = text[opened[0] : following.start() if following else None]
        inside, *after = rest.split(f"</{self.tag}>")
        if len(after) != 1:
            times = f"stands {len(after)} times" if after else "is missing"
            raise ReplyError(f"</{self.tag}> {times} after {shown}")
        return inside

    def _json(self, text: str, names: Sequence[str]) -> Mapping[str, str]:
        wanted = list(names) or [self.tag]
        known = {*wanted, REASONING}
        found = the_object(text, known if self.partial else wanted, known)
        if self.partial:
            return _some_of(found, names)
        if missing := [key for key in wanted if not isinstance(found.get(key), str)]:
            raise ReplyError(f"the JSON object holds no string for {listed(missing)}")
        return {name: found[name] for name in names} if names else {"": found[self.tag]}


@dataclass(frozen=True, slots=True)
class Asking:
    """What a template is told of the reply it should ask for."""

    template: str
    tag: str
    names: tuple[str, ...]
    partial: bool = False
    format: str = "tagged"
    reasoning: str = "optional"
    fields: tuple[Field, ...] = ()
    """Of a structured reply."""


def _some_of(found: Mapping[str, object], names: Sequence[str]) -> Mapping[str, str]:
    """Return the texts for those of the names that a JSON object holds; reasoning is no name."""
    known = {*names, REASONING}
    if unknown := [key for key in found if key not in known]:
        raise ReplyError(f"the JSON object holds {_few(unknown)}; it may hold {listed(names)}")
    texts = {name: found[name] for name in names if name in found}
    if wrong := [name for name, text in texts.items() if not isinstance(text, str)]:
        raise ReplyError(f"the JSON object holds no string for {listed(wrong)}")
    if not texts and REASONING not in found:
        raise ReplyError(f"the JSON object holds none of {listed(names)}")
    return {name: str(text) for name, text in texts.items()}


def _numbered(text: str, names: Sequence[str]) -> Mapping[str, str]:
    """Read the last run of lines numbered 1 to n; a number is matched whole, never as a prefix.

    Where lines carry names, only those count, so that a text may hold a list of its own.
    """
    marks, known = list(_NUMBERED_LINE.finditer(text)), set(names)
    marks = [mark for mark in marks if mark["name"] in known] or marks
    first = max((i for i, mark in enumerate(marks) if mark["number"] == "1"), default=None)
    if first is None:
        raise ReplyError("no line starts with '1.'")
    run = marks[first:]
    numbers = [mark["number"] for mark in run]
    if numbers != [str(i) for i in range(1, len(names) + 1)]:
        raise ReplyError(f"its last list is numbered {_few(numbers)}, not 1 to {len(names)}")
    ends = [mark.start() for mark in run[1:]] + [len(text)]
    found = {}
    for name, mark, end in zip(names, run, ends, strict=True):
        if mark["name"] in known and mark["name"] != name:
            raise ReplyError(f"line {mark['number']} is for {mark['name']}, not {name}")
        begin = mark.end() if mark["name"] == name else mark.start("rest")
        found[name] = text[begin:end]
    return found


def check_length(text: str, most: int | None, what: str = "it") -> None:
    """Raise ReplyError where a text is too long to be used."""
    if most is not None and len(text) > most:
        raise ReplyError(f"{what} has {len(text)} characters; at most {most} may be used")


def _few(said: Sequence[str]) -> str:
    """List what a reply says; it may say very much."""
    more = f" and {len(said) - _SHOWN:,} more" if len(said) > _SHOWN else ""
    return listed(shortly(one, 20) for one in said[:_SHOWN]) + more
