"""Draw the example graphs of conf/graph anew, and write docs/graphs.md: make pictures."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from sgdflow.cli.picture import write_picture
from sgdflow.config.build import build_graph, named
from sgdflow.config.compose import compose
from sgdflow.config.paths import prompt_folders
from sgdflow.config.prepare import validated
from sgdflow.prompting.templates import Prompts

HERE = Path(__file__).parent
GRAPHS = HERE.parent / "conf" / "graph"
TASKS = {"chain": "tickets", "clerks": "forms", "desk": "tariff", "relay": "dossiers"}
"""Of graphs that are generated for a task."""
HEAD = """# Example graphs

All of them are in `conf/graph`, and drawn by `sgdflow graph --picture`. Each box says whether it
is optimised, fixed, or code; a field is a box of its own. `make pictures` writes this page and
the pictures anew.
"""


def names() -> list[str]:
    """Return the names of all graphs."""
    return sorted(file.stem for file in GRAPHS.glob("*.yaml"))


def words(name: str) -> list[str]:
    """Return the words that choose a graph."""
    task = [f"task={TASKS[name]}"] if name in TASKS else []
    return [f"graph={name}", *task]


def draw(folder: Path) -> None:
    """Draw all graphs into a folder."""
    prompts = Prompts(prompt_folders(Path("nowhere")))
    for name in names():
        config = validated(compose(words(name)))
        graph = build_graph(config.graph, prompts)
        optimised = named(config.method, graph)
        write_picture(graph, graph.initial(), optimised, folder / f"{name}.svg")


def page() -> str:
    """Return the page that shows them, each with what its file says of it."""
    return HEAD + "".join(_entries())


def _entries() -> Iterator[str]:
    for name in names():
        text = (GRAPHS / f"{name}.yaml").read_text(encoding="utf-8")
        said = re.findall(r"^# (.*)$", text, re.MULTILINE)[1]
        said = re.sub(r"docs/(\w+\.md)", r"[\1](\1)", said)
        yield (
            f"\n## {name}\n\n{said} `sgdflow graph {' '.join(words(name))}`\n\n"
            f"![The graph {name}](images/graphs/{name}.svg)\n"
        )


def main() -> None:
    """Draw them, and write the page."""
    folder = HERE / "images" / "graphs"
    folder.mkdir(parents=True, exist_ok=True)
    draw(folder)
    (HERE / "graphs.md").write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
