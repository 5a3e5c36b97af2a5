"""Write docs/reference.md from the schema of the configuration: python docs/reference.py."""

from __future__ import annotations

import ast
import functools
import inspect
import itertools
import json
import re
import textwrap
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import annotated_types
import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from sgdflow.config.documents import read_mapping
from sgdflow.config.schema import Config, Target

HERE = Path(__file__).parent
SHIPPED = ("method/semantic", "task/table", "llm/openai", "tracking/mlflow")
"""The files whose values are shown where they differ from those of the schema."""
NAMES = {
    "nodes": "NODE",
    "parameters": "PARAMETER",
    "models": "ROLE",
    "roles": "ROLE",
    "fallbacks": "ROLE",
    "tokens": "ROLE",
    "prices": "MODEL",
    "tools": "TOOL",
    "texts": "PARAMETER",
}
"""What stands in a key for a name that a user chooses."""
HEAD = """\
# Every key of a configuration

`make reference` writes this page from the schema in `sgdflow/config`; a test holds it to that.
What the keys are for, with examples: [configuration.md](configuration.md),
[methods.md](methods.md), [llm.md](llm.md), [howto.md](howto.md).

- A word in CAPITALS stands for a name of yours: `llm.models.ROLE.model` is
  `llm.models.writer.model` for the role `writer`.
- **default** is what holds where no file says anything. Where the shipped file of that name says
  something else, its value stands behind it: `2`; semantic: `8`. *required*: a file has to say it.
- Where a key takes a mapping, a table of its own says what may stand in it; one that stands at
  several keys is written out once.
- Beside a `_target_` stand the constants of that function, which are not listed here: those of the
  shipped readers of data are in `conf/task/`, those of scorers in [scoring.md](scoring.md).
- Keys of `hydra` are those of [Hydra](https://hydra.cc); `conf/hydra/default.yaml` sets some.
"""


@dataclass(frozen=True)
class Form:
    """A mapping that may stand at a key, and what is there where nothing is said."""

    model: type[BaseModel]
    preset: BaseModel | None = None

    def default(self, name: str) -> object:
        """Return what holds for a field, PydanticUndefined where it has to be said."""
        if self.preset is not None:
            return getattr(self.preset, name)
        return self.model.model_fields[name].get_default(call_default_factory=True)


def written() -> str:
    """Return the page."""
    at = places()
    return "\n".join([HEAD, *(part for path in at for part in section(path, at))])


def places() -> Mapping[str, list[Form]]:
    """Return the mappings of a configuration, by the key where each stands."""
    return dict(_places("", [Form(Config)]))


def _places(path: str, forms: list[Form]) -> Iterator[tuple[str, list[Form]]]:
    yield path, forms
    seen = set()
    for form in forms:
        for name, field in form.model.model_fields.items():
            key = name_of(name, field)
            below = [*_forms(field, form.default(name), f"{path}.{key}".lstrip("."), key)]
            for where in dict.fromkeys(where for where, _ in below):
                if where not in seen:
                    seen.add(where)
                    yield from _places(where, [one for at, one in below if at == where])


def _forms(kind: object, preset: object, path: str, key: str) -> Iterator[tuple[str, Form]]:
    """Return the mappings that a type has room for; names of a user's own become a word."""
    if isinstance(kind, FieldInfo):
        kind = kind.annotation
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        if kind is not Target:
            yield path, Form(kind, preset if isinstance(preset, kind) else None)
    elif typing.get_origin(kind) in (dict, Mapping):
        yield from _forms(typing.get_args(kind)[1], None, f"{path}.{NAMES.get(key, 'NAME')}", key)
    else:
        for part in typing.get_args(kind):
            yield from _forms(part, preset, path, key)


def section(path: str, at: Mapping[str, list[Form]]) -> Iterator[str]:
    """Return the heading and the table of what may stand at a key, unless another's has it."""
    forms = [form for form in at[path] if home(form.model, at) == path]
    for form in forms:
        yield f"{'###' if '.' in path else '##'} {heading(path, form, at)}\n"
        yield f"{inspect.getdoc(form.model)}\n"
        yield "| key | takes | default | meaning |\n| --- | --- | --- | --- |"
        for name, field in form.model.model_fields.items():
            yield row(f"{path}.{name_of(name, field)}".lstrip("."), form, name, at)
        yield ""


def heading(path: str, form: Form, at: Mapping[str, list[Form]]) -> str:
    """Return what stands above the table of a form."""
    tag = told_apart(form) if len(at[path]) > 1 else ""
    return (path or "The whole") + (f" with `{tag}`" if tag else "")


def told_apart(form: Form) -> str:
    """Return the key by which a form is chosen among others."""
    rule = form.model.model_fields.get("rule")
    if rule is not None and rule.default is not PydanticUndefined:
        return f"rule: {rule.default}"
    required = [name for name, one in form.model.model_fields.items() if one.is_required()]
    return required[0] if required else ""


def row(key: str, form: Form, name: str, at: Mapping[str, list[Form]]) -> str:
    """Return the line of a key."""
    field = form.model.model_fields[name]
    default = form.default(name)
    meaning = [meaning_of(form.model, name)]
    for where, one in _forms(field, default, key, key.rpartition(".")[2]):
        stands = home(one.model, at)
        if stands != where:
            meaning.append(f"`{where}`: as [`{stands}`](#{anchor(heading(stands, one, at))}).")
    shown = "*required*" if default is PydanticUndefined else f"`{spelt(default)}`"
    if shown == "`{}`" and isinstance(default, BaseModel):
        shown = "as below"
    said = [
        f"{file}: `{spelt(value)}`"
        for file, value in shipped(key, form).items()
        if value != plain(default)
    ]
    return f"| `{key}` | {takes(field)} | {'; '.join([shown, *said])} | {' '.join(meaning)} |"


def home(model: type[BaseModel], at: Mapping[str, list[Form]]) -> str:
    """Return the key at which a mapping is written out: the shortest of those that take it."""
    keys = [path for path, forms in at.items() if any(form.model is model for form in forms)]
    return min(keys, key=lambda path: path.count("."))


def anchor(heading: str) -> str:
    """Return the address that GitHub gives a heading."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def name_of(name: str, field: FieldInfo) -> str:
    """Return the key of a field."""
    return field.alias or name


def meaning_of(model: type[BaseModel], name: str) -> str:
    """Return the words below a field, or else those of the mapping that stands there."""
    if len(typing.get_args(model.model_fields[name].annotation)) == 1 and name == "rule":
        return "Chooses this form."
    for kind in model.__mro__:
        if name in docs_of(kind):
            return docs_of(kind)[name].replace("\n", " ").replace("|", "\\|")
    inner = [*_forms(model.model_fields[name], None, "", name)]
    return (inspect.getdoc(inner[0][1].model) or "").split("\n")[0] if inner else ""


@functools.cache
def docs_of(model: type) -> Mapping[str, str]:
    """Return the texts that stand below the fields of a class in its source."""
    if not issubclass(model, BaseModel) or model is BaseModel:
        return {}
    body = ast.parse(textwrap.dedent(inspect.getsource(model))).body[0].body
    return {
        field.target.id: inspect.cleandoc(text.value.value)
        for field, text in itertools.pairwise(body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
    }


def takes(kind: object, bounds: tuple[object, ...] = ()) -> str:
    """Return a type in words."""
    if isinstance(kind, FieldInfo):
        return takes(kind.annotation, tuple(kind.metadata))
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return takes(parts[0], tuple(m for one in parts[1:] for m in metadata(one)))
    if origin in (typing.Union, types.UnionType):
        said = [takes(part) for part in parts if part is not type(None)]
        return ", ".join(dict.fromkeys(said)) + (", null" if type(None) in parts else "")
    if origin is typing.Literal:
        return ", ".join(f"`{part}`" for part in parts)
    if origin in (list, tuple):
        return f"list of {takes(parts[0])}"
    if origin in (dict, Mapping):
        return f"mapping to {takes(parts[1])}" if parts[1] is not typing.Any else "mapping"
    return KINDS.get(kind, "mapping") + limits(bounds)


KINDS = {
    str: "text",
    int: "integer",
    float: "number",
    bool: "`true`, `false`",
    typing.Any: "anything",
    Target: "function (`_target_`)",
}


def metadata(one: object) -> tuple[object, ...]:
    """Return the bounds of a type that is marked with them."""
    return tuple(one.metadata) if isinstance(one, FieldInfo) else (one,)


def limits(bounds: tuple[object, ...]) -> str:
    """Return the bounds of a number in words."""
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    found = [
        f"{sign} {getattr(bound, name):g}"
        for bound in bounds
        if not isinstance(bound, annotated_types.MinLen)
        for name, sign in signs.items()
        if hasattr(bound, name)
    ]
    return f" {', '.join(found)}" if found else ""


def plain(value: object) -> object:
    """Return a value as a file holds it, without what is there anyway."""
    if isinstance(value, BaseModel):
        value = value.model_dump(by_alias=True, exclude_unset=True)
    return json.loads(json.dumps(value, default=str))


def spelt(value: object) -> str:
    """Return a value as YAML has it."""
    line = yaml.safe_dump(plain(value), default_flow_style=True, width=10**6, allow_unicode=True)
    return line.removesuffix("\n").removesuffix("\n...").replace("|", "\\|")


def shipped(key: str, form: Form) -> Mapping[str, object]:
    """Return what shipped files say of a key, mappings aside."""
    found = {}
    above, _, last = key.rpartition(".")
    for file in SHIPPED:
        here = at_key(said_by(file), above)
        rule = form.model.model_fields.get("rule")
        other = rule is not None and isinstance(here, dict) and here.get("rule") != rule.default
        if isinstance(here, dict) and last in here and not other:
            found[file.rpartition("/")[2]] = here[last]
    return {file: one for file, one in found.items() if one != "???" and not isinstance(one, dict)}


def at_key(tree: object, key: str) -> object:
    """Return what stands at a dotted key of a file, None where nothing does."""
    for part in key.split(".") if key else ():
        tree = tree.get(part) if isinstance(tree, dict) else None
    return tree


@functools.cache
def said_by(file: str) -> object:
    """Return what a shipped file holds."""
    return {file.partition("/")[0]: read_mapping(HERE.parent / "conf" / f"{file}.yaml")}


def main() -> None:
    """Write the page."""
    (HERE / "reference.md").write_text(written(), encoding="utf-8")


if __name__ == "__main__":
    main()
