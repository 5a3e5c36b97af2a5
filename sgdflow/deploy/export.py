"""Writes a graph, with all that it needs to answer, into a folder of its own."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

from sgdflow import __version__
from sgdflow.config import schema
from sgdflow.config.program import Program
from sgdflow.config.retrieval import moved, packages, pinned, searched
from sgdflow.config.targets import unreachable
from sgdflow.config.written import references, referring
from sgdflow.data.embedding import files_of
from sgdflow.errors import ConfigError
from sgdflow.executor.backward_functions import PassThrough, PromptBackward
from sgdflow.executor.graph import Graph, Node
from sgdflow.executor.tools import RESULT, ToolUse
from sgdflow.prompting.ask import AGAIN
from sgdflow.prompting.templates import Prompts
from sgdflow.records import FORMAT, as_yaml
from sgdflow.records.source import DOCUMENTS, EXPORT

_IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")


def folder_name(name: str) -> str:
    """Return a graph's name as the name of a folder, or of a model in MLflow."""
    return re.sub(r"[^\w.-]+", "-", name).strip("-.") or "graph"


def write_folder(
    program: Program,
    parameters: Mapping[str, Any],
    prompts: Prompts,
    folder: Path,
    about: Mapping[str, Any],
) -> None:
    """Write the folder; raises ConfigError where something else stands there."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder} exists already: export to a new folder, with --to FOLDER.")
    brought = searched(program.conf)
    places = {one: _place(*one, path) for one, path in brought.items()}
    if lost := list(unreachable(program.conf)):
        raise ConfigError("\n".join(lost))
    graph = referring(_graph(program.conf), program.written.get("graph"))
    there = {**pinned(program.graph), **places}
    graph = moved(graph, lambda name, key, said: there.get((name, key), said))
    llm = _portable(program.llm).model_dump(mode="json", by_alias=True)
    llm = referring(llm, program.written.get("llm"))
    variables = sorted({*_keys(program), *_variables({"graph": graph, "llm": llm})})
    files = {
        "graph.yaml": as_yaml(graph),
        "llm.yaml": as_yaml(llm),
        "parameters.yaml": as_yaml(parameters),
        "requirements.txt": "".join(f"{line}\n" for line in requirements(packages(program.conf))),
        EXPORT: json.dumps(
            {"format": FORMAT, "version": __version__, "seed": program.calling.seed, **about},
            indent=2,
        )
        + "\n",
    }
    used = prompts.closure(_templates(program.graph))
    files |= {f"prompts/{name}": text for name, text in used.items()}
    modules = dict(_own_modules(program.conf))
    copies = {f"code/{path.name}": path for path in modules.values()}
    copies |= dict(_searched(brought, places))
    files["README.md"] = _readme(program, modules, variables)
    try:
        _write(folder, files, copies)
    except OSError as error:
        raise ConfigError(
            f"{folder} cannot be written: {error.strerror or error} ({error.filename}). Export to "
            "another folder, with --to FOLDER."
        ) from error


def _place(node: str, key: str, path: Path) -> str:
    """Return where in the folder a node's documents stand, or its embedding model."""
    return f"{DOCUMENTS}/{node}{path.suffix if key == 'retrieve' else '.model'}"


def _searched(
    brought: Mapping[tuple[str, str], Path], places: Mapping[tuple[str, str], str]
) -> Iterator[tuple[str, Path]]:
    """Yield what is copied where; of a model's folder only what makes the model."""
    for one, path in brought.items():
        if one[1] == "retrieve":
            yield places[one], path
        else:
            yield from (
                (f"{places[one]}/{file.as_posix()}", path / file) for file in files_of(path)
            )


def _write(folder: Path, files: Mapping[str, str], copies: Mapping[str, Path]) -> None:
    for name, text in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    for name, path in copies.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            shutil.copytree(path, folder / name, ignore=_IGNORED)
        else:
            shutil.copy(path, folder / name)


def _graph(conf: schema.GraphConf) -> Mapping[str, Any]:
    """Return the graph as it was declared: what a node leaves out comes from graph.forward."""
    said = conf.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return {**said, "forward": conf.forward.model_dump(mode="json", by_alias=True)}


def requirements(searches: Sequence[str] = ()) -> Iterator[str]:
    """Yield sgdflow and the packages that it uses directly, with the versions installed."""
    yield f"sgdflow=={__version__}"
    yield from (f"{package}=={version(package)}" for package in searches)
    try:
        declared = requires("sgdflow") or []
    except PackageNotFoundError:  # run from a checkout that is not installed
        return
    for one in declared:
        if "extra ==" not in one:
            name = _name(one)
            yield f"{name}=={version(name)}"


def _name(requirement: str) -> str:
    end = next((i for i, c in enumerate(requirement) if not (c.isalnum() or c in "-_.")), None)
    return requirement[:end]


def _portable(conf: schema.LLMConf) -> schema.LLMConf:
    """Return the models with a store that belongs to whoever runs them."""
    return conf.model_copy(
        update={"store": conf.store.model_copy(update={"path": None, "uri": None})}
    )


def _templates(graph: Graph) -> Iterator[str]:
    """Yield every template that the graph names; what these include is found from them."""
    for node in graph.nodes.values():
        for ask in _asks(node):
            yield ask.prompt
            yield ask.reply.asking([]).template
            yield AGAIN
        if isinstance(node.forward, ToolUse):
            yield RESULT
        if isinstance(node.backward, PassThrough):
            yield node.backward.prompt


def _asks(node: Node) -> Iterator[Any]:
    if node.forward.ask is not None:
        yield node.forward.ask
    if isinstance(node.backward, PromptBackward):
        yield node.backward.ask


def _own_modules(conf: schema.GraphConf) -> Iterator[tuple[str, Path]]:
    """Yield the user's own modules that the nodes name: those that no installed package has."""
    named = {
        side.target.split(".")[0]
        for node in conf.nodes.values()
        for side in (node.forward, node.backward, node.when, *_tools(node.forward))
        if isinstance(side, schema.Target)
    }
    for name in sorted(named - {"sgdflow"}):
        file = getattr(sys.modules.get(name), "__file__", None)
        if file is None or "site-packages" in Path(file).parts or name in sys.stdlib_module_names:
            continue
        path = Path(file).resolve()
        yield name, path.parent if path.name == "__init__.py" else path


def _tools(forward: object) -> Iterator[schema.Target]:
    yield from forward.tools.values() if isinstance(forward, schema.Forward) else ()


def _keys(program: Program) -> Iterator[str]:
    """Yield the environment variables that hold the models' keys."""
    for model in program.calling.models.values():
        for spec in model.line:
            if spec.api_key_env:
                yield spec.api_key_env


def _variables(written: Mapping[str, Any]) -> Iterator[str]:
    """Yield the other environment variables that the folder's configuration names."""
    for names in references(written).values():
        yield from names


def _readme(program: Program, modules: Mapping[str, Path], variables: Sequence[str]) -> str:
    row = json.dumps({name: "..." for name in program.graph.inputs})
    lines = [
        f"# {program.graph.name}",
        "",
        f"A computational graph with its parameters, exported by sgdflow {__version__}.",
        "",
        "```sh",
        "pip install -r requirements.txt",
        *[f"export {name}=..." for name in variables],
        f"echo '{row}' | sgdflow predict .",
        "```",
        "",
        "Each line of input is a JSON object with the graph's inputs, each line of output an",
        'object with `"output"`, or with `"error"` where there is none.',
        "",
        "- `graph.yaml`: the graph; `parameters.yaml`: its parameters, plain data",
        "- `llm.yaml`: which model plays which role; another one: `sgdflow predict . llm=openai`",
        "- `prompts/`: every template that the graph uses",
        "- `requirements.txt`: the packages it was exported with",
    ]
    if modules:
        lines.append(
            "- `code/`: the Python modules that nodes name; what else they import is not here"
        )
    if searched(program.conf):
        lines.append(f"- `{DOCUMENTS}/`: what nodes look things up in")
    return "\n".join(lines) + "\n"
