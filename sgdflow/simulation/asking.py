"""The form of reply that a prompt asks a simulated model for."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from sgdflow.simulation.filling import ASKED, filled
from sgdflow.simulation.wishes import asked_for

REPLY_HEADING = re.compile(r"^# How to reply$", re.MULTILINE)
_ASKED_BY_NAME = re.compile(r'<([\w-]+) name="([^"]+)">\.\.\.</\1>')
_ASKED_BETWEEN = re.compile(r"between <([\w-]+)> and </\1>")
_ASKED_IN = re.compile(r"^Begin with .* <([\w-]+)> is used; write it once\.$", re.MULTILINE)
_ASKED_BY_NUMBER = re.compile(r"^(\d+)\. \((.+?)\) \.\.\.$", re.MULTILINE)
_ASKED_BY_MARKS = re.compile(r"^Respond with the corresponding output fields, .*", re.MULTILINE)
"""What DSPy's programs end with."""
_ASKED_FIRST = re.compile(r"Reply in exactly this form[^\n]*:\n((?:<[^\n]+\n)+)")
"""What prompts for weak writers begin with."""
_OPENING = re.compile(r"^<([\w-]+)(?: name=\"([^\"]+)\")?>", re.MULTILINE)
_MARK = re.compile(r"\[\[ ## (\w+) ## \]\]")
_ASKED_AS_JSON = re.compile(r'^\{.*"\.\.\.".*\}$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Asked:
    """The reply format a prompt asks for; `names` is empty for a single statement."""

    format: str
    tag: str
    names: tuple[str, ...] = ()
    fields: Mapping[str, str] = field(default_factory=dict)
    """Of a structured reply: what each has to be, in the prompt's words."""
    wishes: tuple[str, ...] = ()
    """The words one of which each text is to begin with, as it asks for a change or not."""

    def write(self, values: Mapping[str, str], given: str = "") -> str:
        """Write values in this format; a single statement stands under the name ''.

        The fields of a structured reply are filled in from it, and from what was `given`.
        """
        if self.format == "marks":
            said = [f"[[ ## {name} ## ]]\n{values['']}" for name in self.fields]
            return "\n\n".join([*said, "[[ ## completed ## ]]"])
        if self.fields:
            return filled(self.fields, values.get("", ""), given)
        if self.format == "json":
            return json.dumps({name or self.tag: value for name, value in values.items()})
        if self.format == "numbered":
            lines = (" ".join(values[name].split()) for name in self.names)
            return "\n".join(
                f"{i}. ({n}) {v}" for i, (n, v) in enumerate(zip(self.names, lines, strict=True), 1)
            )
        if self.names:
            return "\n".join(f'<{self.tag} name="{n}">{values[n]}</{self.tag}>' for n in self.names)
        return f"<{self.tag}>{values['']}</{self.tag}>" if self.tag else values[""]


def split(text: str) -> tuple[str, Asked]:
    """Return what stands before the form of the reply, and that form."""
    heading = list(REPLY_HEADING.finditer(text))
    body, form = (
        (text[: heading[-1].start()], text[heading[-1].end() :]) if heading else (text, text)
    )
    body, asked = _asked(body, form, text)
    return body, replace(asked, wishes=tuple(asked_for(form)))


def _asked(body: str, form: str, text: str) -> tuple[str, Asked]:
    if body == text and (marks := _ASKED_BY_MARKS.search(text)):
        *own, _ = _MARK.findall(marks[0])
        return text[: marks.start()], Asked("marks", "", fields=dict.fromkeys(own, "a text"))
    if body == text and (first := _ASKED_FIRST.match(text)):
        tags = _OPENING.findall(first[1])
        names = tuple(name for _, name in tags if name)
        return text[first.end() :], Asked("tagged", tags[0][0], names)
    if named := _ASKED_BY_NAME.findall(form):
        return body, Asked("tagged", named[0][0], tuple(name for _, name in named))
    if between := _ASKED_BETWEEN.findall(form):
        return body, Asked("tagged", between[-1])
    if within := _ASKED_IN.findall(form):
        return body, Asked("tagged", within[-1])
    if numbered := _ASKED_BY_NUMBER.findall(form):
        return body, Asked("numbered", "", tuple(name for _, name in numbered))
    if fields := dict(ASKED.findall(form)):
        return body, Asked("json", "", fields=fields)
    if as_json := _ASKED_AS_JSON.findall(form):
        names = tuple(json.loads(as_json[-1]))
        names = names[1:] if "both are strings" in form else names  # reasoning, and the output
        return body, Asked("json", names[0]) if len(names) == 1 else Asked("json", "", names)
    return body, Asked("text", "")
