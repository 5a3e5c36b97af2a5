"""YAML and JSON of strangers are read as plain data, or refused in time with one short message."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import tracemalloc
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sgdflow.config.documents import (
    check_choices,
    from_json,
    from_yaml,
    read,
    read_lines,
    read_mapping,
)
from sgdflow.errors import ConfigError
from sgdflow.records import as_yaml

MEGABYTE = 2**20


def laughs(first: str, line: str) -> str:
    """Nine levels, each of which stands for ten of the level below: a billion in all."""
    names = "abcdefghij"
    levels = (
        line.format(name=name, ten=",".join([f"*{before}"] * 10))
        for before, name in pairwise(names)
    )
    return first + "".join(levels)


DEEP = "it is nested more than 100 levels deep"
MANY = "it holds more than 300,000 values, aliases followed"
ONLY = "only texts, numbers, lists and mappings are read"
YAMLS = {
    "aliases": (laughs("a: &a [x]\n", "{name}: &{name} [{ten}]\n"), f"line 7: {MANY}"),
    "merges": (laughs("a: &a {k: 1}\n", "{name}: &{name} {{<<: [{ten}]}}\n"), f"line 6: {MANY}"),
    "itself": ("a: &a [*a]", "line 1: *a stands for something that holds it"),
    "no anchor": ("a: *b", "line 1: found undefined alias"),
    "lists": ("[" * 4 * MEGABYTE, f"line 1: {DEEP}"),
    "mappings": ("{a: " * MEGABYTE, f"line 1: {DEEP}"),
    "dashes": ("- " * 2 * MEGABYTE, f"line 1: {DEEP}"),
    "indents": ("".join(" " * i + "a:\n" for i in range(2000)), f"line 101: {DEEP}"),
    "values": ("- 1\n" * MEGABYTE, f"line 300000: {MANY}"),
    "size": ("a" * (8 * MEGABYTE + 1), "it has more than 8,388,608 characters"),
    "digits": ("a: " + "9" * MEGABYTE, "line 1: a number of 1,048,576 characters"),
    "sixties": ("a: 1" + ":1" * MEGABYTE, "line 1: a number of 2,097,153 characters"),
    "hex": ("\na: 0x" + "f" * 200, "line 2: a number of 202 characters"),
    "told int": (f"a: !!int '{'9' * 200}'", "line 1: a number of 200 characters"),
    "python": (
        "a: !!python/object/apply:os.system [ls]",
        f"line 1: the tag tag:yaml.org,2002:python/object/apply:os.system; {ONLY}",
    ),
    "bytes": ("a: !!binary aGk=", f"line 1: the tag tag:yaml.org,2002:binary; {ONLY}"),
    "own tag": ("a: 1\nb: !mine x", f"line 2: the tag !mine; {ONLY}"),
    "date": ("a: 2020-13-45", "month must be in 1..12"),
    "two": ("a: 1\n---\nb: 2", "line 2: but found another document"),
    "open": ("a: [1\n", "line 2: did not find expected ',' or ']'"),
    "twice": ("a: {b: 1, c: {b: 2}}\nd: [{b: 1}, {b: 2}]\n'a': 2", "line 3: the key 'a' stands"),
    "twice within": (
        "a: [{b: {x: 1}, c: *x, b: 2}]".replace("*x", "[b]"),
        "line 1: the key 'b' st",
    ),
    "zero": ("a: \x00", "unacceptable character #x0000: control characters are not allowed"),
}
JSONS = {
    "lists": ("[" * 100_000, "it is nested too deeply"),
    "mappings": ('{"a":' * 100_000, "it is nested too deeply"),
    "values": ("[" + "[]," * 3_000_000 + "1]", "it holds more than 5,000,000 values"),
    "digits": ("9" * 5000, "Exceeds the limit (4300 digits) for integer string conversion"),
    "cut": ('{"a":', "Expecting value: line 1 column 6 (char 5)"),
}


@pytest.mark.parametrize(("text", "why"), YAMLS.values(), ids=YAMLS)
def test_yaml_that_is_no_plain_data_of_a_bounded_size_is_refused(text: str, why: str) -> None:
    refused_in_time(from_yaml, text, why)


@pytest.mark.parametrize(("text", "why"), JSONS.values(), ids=JSONS)
def test_json_that_is_no_data_of_a_bounded_size_is_refused(text: str, why: str) -> None:
    refused_in_time(from_json, text, why)


def refused_in_time(read: Any, text: str, why: str) -> None:
    tracemalloc.start()
    began = time.process_time()
    try:
        with pytest.raises(ConfigError) as refused:
            read(text, "theirs")
        memory = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert str(refused.value).startswith(f"theirs cannot be read: {why}")
    assert len(str(refused.value)) < 300
    assert time.process_time() - began < 20
    assert memory < 100 * MEGABYTE


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@settings(derandomize=True, deadline=None, database=None, max_examples=100)
@given(st.dictionaries(st.text(st.characters(codec="utf-8")), plain))
def test_what_is_written_is_read_back(data: dict[str, Any]) -> None:
    data = json.loads(json.dumps(data).encode("utf-8", "replace"))
    if "\\ud" not in json.dumps(data):
        assert from_yaml(as_yaml(data), "own") == data
        assert from_json(json.dumps(data), "own") == data


def test_aliases_of_a_moderate_size_are_followed() -> None:
    assert from_yaml("a: &a [1, 2]\nb: {c: *a, <<: {d: 3}}", "own") == {
        "a": [1, 2],
        "b": {"c": [1, 2], "d": 3},
    }


def test_what_looks_like_a_key_that_stands_twice_and_is_none() -> None:
    text = "a: &a {x: a, y: b}\nb: {x: x, y: [x, x, {x: 1}], z: *a}\nc: {<<: *a, <<: {w: 1}}\n"
    assert from_yaml(text, "own")["b"] == {
        "x": "x", "y": ["x", "x", {"x": 1}], "z": {"x": "a", "y": "b"},
    }  # fmt: skip


def test_a_file_of_an_editor_is_read_or_told_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_bytes(b"\xef\xbb\xbfname: x\r\nother: y\r\n")
    assert read(file) == {"name": "x", "other": "y"}
    for encoding, line in (("cp1252", 2), ("utf-16", 1)):
        file.write_bytes("name: x\nother: größer\n".encode(encoding))
        with pytest.raises(ConfigError) as refused:
            read(file)
        told = f"{file} cannot be read: line {line}: not UTF-8. Save it as UTF-8."
        assert str(refused.value) == told


@pytest.mark.parametrize(("text", "what"), [("- a\n", "a list"), ("hints\n", "one value")])
def test_a_choice_that_is_no_mapping_is_told(text: str, what: str, tmp_path: Path) -> None:
    file = tmp_path / "graph" / "mine.yaml"
    file.parent.mkdir()
    file.write_text(text)
    with pytest.raises(ConfigError) as refused:
        check_choices(tmp_path)
    told = f"{file} cannot be read: it holds {what}, not KEY: VALUE in each line."
    assert str(refused.value) == told
    file.write_text("# nothing yet\n")
    check_choices(tmp_path)


def test_what_never_ends_is_not_opened(tmp_path: Path) -> None:
    pipe = tmp_path / "config.yaml"
    os.mkfifo(pipe)
    for file, what in ((pipe, "no regular file"), (tmp_path, "a directory")):
        for reader in (read, read_mapping, lambda file: list(read_lines(file))):
            with pytest.raises(ConfigError) as refused:
                reader(file)
            assert str(refused.value) == f"{file} cannot be read: it is {what}."


def test_lines_are_read_one_by_one_and_a_wrong_one_is_named(tmp_path: Path) -> None:
    file, cuts = tmp_path / "steps.jsonl", []
    file.write_text('{"a": 1}\n\n[2]\n{"a": ')
    assert list(read_lines(file, lambda: cuts.append(1))) == [{"a": 1}, [2]]
    assert cuts == [1]
    file.write_text('{"a": 1}\n' + "[" * 100_000 + "\n")
    with pytest.raises(ConfigError, match=r"steps.jsonl, line 2 cannot be read: it is nested"):
        list(read_lines(file))
    file.write_bytes(b'{"a": 1}\n\xff\n')
    with pytest.raises(ConfigError, match=r"steps.jsonl, line \d cannot be read: 'utf-8' codec"):
        list(read_lines(file))


CHOICES = {
    "task/list.yaml": (
        laughs("a: &a [x]\n", "{name}: &{name} [{ten}]\n"),
        "line 5: its aliases stand for more than 10,000 values",
    ),
    "graph/own/merge.yaml": (
        laughs("a: &a {k: 1}\n", "{name}: &{name} {{<<: [{ten}]}}\n"),
        "line 5: its aliases stand for more than 10,000 values",
    ),
    "config.yaml": ("a: " + "[" * 100_000, f"line 1: {DEEP}"),
    "task/digits.yaml": ("a: " + "9" * 5_000, "line 1: a number of 5,000 characters"),
}


@pytest.mark.parametrize("name", CHOICES)
def test_a_folder_of_own_choices_is_bounded_before_hydra_reads_it(
    name: str, tmp_path: Path
) -> None:
    text, told = CHOICES[name]
    for file, said in {
        "task/own.yaml": "base: &base {x: '${oc.env:HOME}'}\nother: {<<: *base, y: 1}\n",
        "data/large.yaml": text,
        name: text,
    }.items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(said)
    began = time.process_time()
    with pytest.raises(ConfigError) as refused:
        check_choices(tmp_path)
    assert str(refused.value) == f"{tmp_path / name} cannot be read: {told}."
    assert time.process_time() - began < 5
    (tmp_path / name).unlink()
    check_choices(tmp_path)


@pytest.mark.parametrize("option", [["--config-dir", "own"], ["-cd=own"]])
def test_a_bomb_among_own_choices_is_one_message(option: list[str], tmp_path: Path) -> None:
    (tmp_path / "own" / "task").mkdir(parents=True)
    (tmp_path / "own" / "task" / "bomb.yaml").write_text(CHOICES["task/list.yaml"][0])
    ended = subprocess.run(
        [sys.executable, "-m", "sgdflow", "evaluate", *option, "task=bomb"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    told = (
        "own/task/bomb.yaml cannot be read: line 5: its aliases stand for more than 10,000 values"
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", f"{told}.\n")
