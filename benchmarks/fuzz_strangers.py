"""Made-up and broken replies, messages, YAML, JSON lines, templates and folders for fuzz.py."""
# ruff: noqa: E501

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from multiprocessing.util import Finalize
from pathlib import Path
from random import Random
from typing import Any

import yaml
from fuzz import Kind
from fuzz_data import text, value

import sgdflow
from sgdflow.cli.browse import report
from sgdflow.cli.show import show
from sgdflow.config.documents import from_yaml, read_lines
from sgdflow.config.paths import prompt_folders
from sgdflow.errors import PromptError, spelt_out
from sgdflow.llm.forms import instead_of_text, plain, text_of
from sgdflow.prompting.dressing import unfenced_like
from sgdflow.prompting.replies import ReplyFormat
from sgdflow.prompting.templates import Prompts

REPLIES = (
    "<output>", "</output>", '<output name="a">', "<output name='b'>", "<OUTPUT>", "<output", "<think>", "</think>",
    "[THINK]", "[/THINK]", "<thinking>", "```json\n", "\n```", "```", "~~~", '{"output": "x"}', '{"a": "x", "b": 7}',
    '{"output": ', "{'output': 'x'}", '"output"', '"a": "x",', '"b": {', "1. ", "\n2. ", "\n1) (a) ", "(b)", "\n3. ",
    "True", "\\n", "\\u00e9", '\\"', "\\", "So it is", "The answer: 7", ",}", "]}", "// why\n", '"""', "“output”",
)  # fmt: skip
FORMS = (
    *(ReplyFormat(form) for form in ("text", "tagged", "numbered", "json")),
    ReplyFormat("json", partial=True),
    ReplyFormat("tagged", untagged="whole"),
    ReplyFormat("tagged", untagged="last_line", truncated="keep"),
)
YAML = (
    "a: 1\n", "- x\n", "b: &b [1, 2]\n", "c: *b\n", "<<: *b\n", "? [x]\n: y\n", "{a: ", "[", "]", "}", "- ", "  ", ": ",
    "|\n  text\n", ">-\n  text\n", '"quoted', "'", "!!python/object:os.system x", "!!int 7", "!!binary aGk=", "!x ", "--- \n",
    "...\n", "%YAML 1.1\n", "0x" + "f" * 300, "1" + ":1" * 400, "9" * 5_000, "2020-13-45", "#", "&a ", "*a ", "~", "\t", "@", "`",
    "_target_: os.system\n", "x: ${oc.env:HOME}\n",
)  # fmt: skip
JINJA = (
    "{{ q }}", "{{ ", " }}", "{% ", " %}", "{% block user %}", "{% block user_2 %}", "{% block x %}", "{% endblock %}",
    "{% for a in q %}", "{% endfor %}", "{% if q %}", "{% endif %}", "{# ", " #}", "{% set a = q %}", "{{ a }}", "q.__class__",
    "{% include 'reply/again.jinja' %}", "{% include 'x.jinja' %}", "{% extends 'x.jinja' %}", "{% extends 'sgdflow/loss/textual.jinja' %}",
    "{% macro m() %}", "{{ m() }}", "{% endmacro %}", "{{ 'x' * 999999999 }}", "{{ 9 ** 99999999 }}", "{{ range(99999) }}", "{{ q | tojson }}",
    "{{ self.user() }}", "{{ loop.index }}", "{% raw %}", "{% endraw %}", "| sort", "[", "(", ")", "'", '"', "%", "\n", "text",
)  # fmt: skip
WHOLE = (
    "{{ q }}", "text", "\n", "{% if q %}a{% else %}b{% endif %}", "{% for a in q %}{{ a }}{{ loop.index }}{% endfor %}", "{# x #}",
    "{% block user %}Q {{ q }}{% endblock %}", "{% block assistant %}A{% endblock %}", "{% block more %}{{ q }}{% endblock %}",
    "{% set a = q %}{{ a }}", "{% macro m(x) %}{{ x }}{% endmacro %}{{ m(q) }}", "{% include 'x.jinja' %}", "{{ q | upper }}", "{{ q ~ q }}",
    "{% for a in range(99999) %}{{ a }}{% endfor %}", "{{ q * 3 }}", "{% extends 'x.jinja' %}", "{{ loop }}", "{{ q.nothing }}",
)  # fmt: skip
PARTS: Sequence[Callable[[Random], Any]] = (
    text,
    value,
    lambda random: [
        {"type": random.choice(("text", "thinking", "tool_use", 7, None)), "text": value(random)}
    ],
    lambda random: {"type": "text", "text": text(random)},
    lambda random: [text(random), None, 7, {"text": "x"}],
    lambda random: None,
)
HOSTILE: Sequence[Any] = (
    {"_target_": "fuzz_trap.spring"}, {"_target_": "os.system"}, {"_target_": 7}, {"_target_": "sgdflow.api.load"},
    "../../x", "/etc/passwd", "..", "~/.ssh/id_rsa", "\x00", "http://evil.example/v1", "https://api.openai.com@evil.example",
    "http://localhost:1/v1", "${oc.env:HOME}", "${oc.env:NOT_SET}", "${now:%Y}", "openai/gpt-4o", "mystery/x", "OPENAI_API_KEY",
    None, True, 7, -1, 10**30, 0.5, float("inf"), float("nan"), [], {}, [[]], {"x": {"y": {}}}, "x" * 5_000, "\x1b[31m", "\u202e",
)  # fmt: skip


def soup(random: Random, pieces: Sequence[str], most: int = 25) -> str:
    """Return pieces in a row, some of them over and over."""
    chosen = random.choices(pieces, k=random.randint(0, most))
    if chosen and random.random() < 0.05:
        chosen[random.randrange(len(chosen))] *= random.choice((100, 2_000, 20_000))
    mixed = (piece if random.random() < 0.9 else text(random, 2) for piece in chosen)
    return "".join(mixed)


def _reply(random: Random, folder: Path) -> tuple[ReplyFormat, str, Sequence[str], bool]:
    form, names = random.choice(FORMS), random.choice(((), ("a",), ("a", "b")))
    if not form.accepts(names):
        names = ("a", "b") if form.accepts(("a", "b")) else ()
    return form, soup(random, REPLIES), names, random.random() < 0.1


def read_reply(case: tuple[ReplyFormat, str, Sequence[str], bool]) -> None:
    """Read a reply: whole texts that stand in it, for all that was asked for."""
    form, reply, names, cut = case
    read = form.read(reply, names, cut=cut)
    if form.partial:
        assert {*read} <= {*names}
    else:
        assert [*read] == [*(names or ("",))]
    for written in read.values():
        assert written
        assert written == written.strip()
        written.encode()
        # What is read without its tags leaves closing ones out.
        closing = re.compile("</output>", re.IGNORECASE)
        assert form.format == "json" or closing.sub("", written) in closing.sub("", reply)
        assert unfenced_like(written, "x").strip() in written


def _message(random: Random, folder: Path) -> Mapping[str, Any]:
    names = ("content", "reasoning_content", "reasoning", "refusal", "thinking_blocks", "role")
    message = {name: random.choice(PARTS)(random) for name in names if random.random() < 0.5}
    if random.random() < 0.3:
        call = {"function": random.choice(({"name": "f"}, {}, None, "f", {"name": 7}))}
        message["tool_calls"] = random.choice(([call], [], None, [None], [7]))
    if random.random() < 0.2:
        message["provider_specific_fields"] = random.choice(({"refusal": "No"}, {}, None))
    usage = {name: value(random) for name in ("prompt_tokens", "completion_tokens", "total_tokens")}
    finish = random.choice(("stop", "length", None, 7))
    return {
        "choices": [{"message": message, "finish_reason": finish}],
        "usage": random.choice((usage, None, 7)),
    }


def read_message(body: Mapping[str, Any]) -> None:
    """Read a provider's message in any form."""
    message = body["choices"][0]["message"]
    assert isinstance(text_of(message.get("content")), str)
    found = instead_of_text(message)
    assert found is None or len(found.said) < 300
    assert isinstance(plain(body)["choices"][0]["message"]["content"], str)


def _yaml(random: Random, folder: Path) -> str:
    if random.random() < 0.5:
        return soup(random, YAML, 40)
    data = plain_data(changed(random, yaml.safe_load((_exported() / "graph.yaml").read_text())))
    return broken(random, yaml.safe_dump(data, allow_unicode=random.random() < 0.5))


def read_yaml(written: str) -> None:
    """Read YAML: plain data of a bounded size."""
    json.dumps(from_yaml(written, "theirs"), default=str)


def _lines(random: Random, folder: Path) -> Path:
    file = folder / "steps.jsonl"
    rows = [json.dumps(plain_data(value(random))) for _ in range(3)]
    rows += [soup(random, YAML)] if random.random() < 0.2 else []
    file.write_bytes(broken(random, "\n".join(rows)).encode("utf-8", "surrogatepass"))
    return file


def read_json(file: Path) -> None:
    """Read JSON lines."""
    for one in read_lines(file):
        json.dumps(one)


def _template(random: Random, folder: Path) -> Path:
    prompts = folder / "prompts"
    prompts.mkdir(exist_ok=True)
    for name in ("x.jinja", "y.jinja"):
        written = soup(random, WHOLE, 8) if random.random() < 0.7 else soup(random, JINJA, 15)
        (prompts / name).write_text(written, encoding="utf-8", errors="replace")
    return folder


def read_template(folder: Path) -> None:
    """Check a template, render it and look for what it may include."""
    own = Prompts(prompt_folders(folder))
    problems = list(own.problems("y.jinja", {"q": "xy", "reason": "x", "truncated": False}, "node"))
    if problems:
        raise PromptError(problems[0])
    own.closure(["y.jinja"])
    own.mentioned("y.jinja")


@lru_cache
def _place() -> Path:
    place = Path(tempfile.mkdtemp(prefix="fuzz"))
    # Also at the end of a worker process, which knows no atexit.
    Finalize(None, shutil.rmtree, (place, True), exitpriority=1)
    os.environ["XDG_STATE_HOME"] = str(place / "state")
    trap = f"import pathlib\npathlib.Path({str(place / 'sprung')!r}).touch()\ndef spring(*_, **__): return 'x'\n"
    (place / "fuzz_trap.py").write_text(trap)
    sys.path.insert(0, str(place))
    return place


@lru_cache
def _exported() -> Path:
    words = ("experiments=quickstart", "tracking=none", "task.splits={train: 8, test: 2}")
    return sgdflow.load(*words).export(_place() / "exported")


@lru_cache
def _run() -> Path:
    words = ["experiments=quickstart", "tracking=none", "method.stop.steps=2", "hydra.run.dir=run"]
    words += ["task.splits={train: 8, validation: 4, test: 4}"]
    command = [sys.executable, "-m", "sgdflow", "optimize", *words]
    subprocess.run(command, cwd=_place(), check=True, capture_output=True)
    return _place() / "run"


def changed(random: Random, data: Any) -> Any:
    """Change, drop or add something at some depth."""
    if not isinstance(data, dict | list) or not data or random.random() < 0.15:
        return random.choice((*HOSTILE, value(random)))
    if isinstance(data, list):
        at = random.randrange(len(data))
        return [*data[:at], changed(random, data[at]), *data[at + 1 :]]
    key = random.choice([*data])
    match random.randrange(8):
        case 0:
            return {name: one for name, one in data.items() if name != key}
        case 1:
            return {**data, text(random, 2): random.choice(HOSTILE)}
        case 2:
            return {
                random.choice(("../x", "", "a b", "\x1b", name)) if name == key else name: one
                for name, one in data.items()
            }
    return {**data, key: changed(random, data[key])}


def plain_data(data: Any) -> Any:
    """Return what a file can hold of any data."""
    try:
        return json.loads(json.dumps(data, default=str, skipkeys=True))
    except ValueError:  # a number of thousands of digits
        return str(type(data))


def broken(random: Random, written: str) -> str:
    """Spoil a text here and there, or not at all."""
    for _ in range(random.choice((0, 0, 0, 1, 1, 4))):
        at = random.randrange(len(written) + 1)
        written = (
            written[:at]
            + random.choice(("", text(random, 2), "\x00", "\t", "[" * 200))
            + written[at + random.randint(0, 9) :]
        )
    return written


def _spoilt(random: Random, folder: Path, base: Path) -> Path:
    """Copy a folder, with one to three of its files changed, broken, linked away or gone."""
    theirs = folder / "theirs"
    shutil.rmtree(theirs, ignore_errors=True)
    shutil.copytree(base, theirs)
    files = sorted(
        path for path in theirs.rglob("*") if path.is_file() and ".hydra" not in path.parts
    )
    for file in random.sample(files, random.randint(0, 3)):
        _spoil(random, file)
    if random.random() < 0.2:
        (theirs / "code").mkdir(exist_ok=True)
        shutil.copy(_place() / "fuzz_trap.py", theirs / "code")
    return theirs


def _spoil(random: Random, file: Path) -> None:
    how = random.random()
    if how < 0.55 and file.suffix in (".yaml", ".json"):
        data = plain_data(changed(random, yaml.safe_load(file.read_text())))
        with contextlib.suppress(yaml.YAMLError, ValueError):
            file.write_text(
                yaml.safe_dump(data) if file.suffix == ".yaml" else json.dumps(data, default=str),
                errors="replace",
            )
    elif how < 0.75 and file.suffix == ".jsonl":
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        rows = [changed(random, row) if random.random() < 0.5 else row for row in rows]
        file.write_text(
            "".join(json.dumps(row, default=str) + "\n" for row in rows), errors="replace"
        )
    elif how < 0.88:
        file.write_bytes(broken(random, file.read_text()).encode("utf-8", "surrogateescape"))
    else:
        file.unlink()
        match random.randrange(4):
            case 0:
                file.symlink_to(
                    random.choice(("/etc/hostname", "/dev/zero", "../../x", file.name, "README.md"))
                )
            case 1:
                os.mkfifo(file)
            case 2:
                file.mkdir()


def _folder(random: Random, folder: Path) -> Path:
    return _spoilt(random, folder, _exported())


def _directory(random: Random, folder: Path) -> Path:
    return _spoilt(random, folder, _run())


def read_folder(theirs: Path) -> None:
    """Load somebody else's folder, and let it answer where it asks for nothing."""
    untouched()
    try:
        flow = sgdflow.load(theirs, working=theirs.parent)
        if all(spec.in_process for spec in flow.program.calling.models.values()):
            flow.run(dict.fromkeys(flow.graph.inputs, "Weight: none. Zone: east."))
        else:
            untouched()
    finally:
        untouched()


def look(theirs: Path) -> None:
    """Show somebody else's run, a step of it and its report."""
    untouched()
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            show([str(theirs)])
            show([str(theirs), "--step", "1"])
            report([str(theirs)])
    finally:
        untouched()
    assert spelt_out(said.getvalue()) == said.getvalue()


def untouched() -> None:
    """Fail where something of a folder was run."""
    assert not (_place() / "sprung").exists()
    assert "fuzz_trap" not in sys.modules


KINDS = (
    Kind("reply", _reply, read_reply),
    Kind("message", _message, read_message),
    Kind("yaml", _yaml, read_yaml),
    Kind("json lines", _lines, read_json),
    Kind("template", _template, read_template),
    Kind("folder", _folder, read_folder),
    Kind("run", _directory, look),
)
