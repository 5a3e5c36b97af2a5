"""Where a real model starts: score, share of replies read at once, and what a call takes.

python benchmarks/real/start.py --url http://127.0.0.1:8080/v1 --model NAME --data FOLDER_OF_BBH
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from running import Words, reasked, run, settings, share

GRAPHS = ("single", "hints", "hints_divided")
FORMS = {
    "tagged, reasoning first": ["graph.forward.reply.format=tagged"],
    "tagged, nothing else": ["graph.forward.reply.reasoning=none"],
    "tagged, reasoning optional": ["graph.forward.reply.reasoning=optional"],
    "text, reasoning first": ["graph.forward.reply.format=text"],
    "text, nothing else": [
        "graph.forward.reply.format=text",
        "graph.forward.reply.reasoning=none",
    ],
    "json": ["graph.forward.reply.format=json"],
}


def measured(words: list[str], folder: Path) -> dict[str, Any]:
    """Return the evaluation record of one graph, task and form."""
    run(["evaluate", *words, "split=train", f"hydra.run.dir={folder}"])
    found: dict[str, Any] = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
    return found


def main() -> None:
    """Print a row for each graph, task and form of reply."""
    parser = argparse.ArgumentParser(description=__doc__)
    settings(parser)
    parser.add_argument("--graphs", default=",".join(GRAPHS))
    parser.add_argument("--forms", default="; ".join(FORMS))
    asked = parser.parse_args(namespace=Words())
    print("| task | graph | form | score | read at once | prompt, reply tokens | prompt cached |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as place:
        for task in asked.tasks.split(","):
            items = share(asked.data, task, 0, asked.tried, Path(place) / "data")
            for graph in asked.graphs.split(","):
                for form in asked.forms.split("; "):
                    data = [f"graph={graph}", "task=bbh", f"task.name={task}"]
                    data += [f"task.path={items}", f"task.splits.train={asked.tried - 1}"]
                    data += ["task.splits.validation=0", "task.splits.test=1"]
                    folder = (
                        Path(place) / f"{task}-{graph}-{form.replace(', ', '_').replace(' ', '_')}"
                    )
                    record = measured([*data, *asked.model_words, *FORMS[form]], folder)
                    print(row(task, graph, form, record), flush=True)


def row(task: str, graph: str, form: str, record: dict[str, Any]) -> str:
    """Return one line of the table."""
    calls, used, score = record["calls"]["forward"], record["tokens"]["forward"], record["score"]
    at_once = 1 - reasked(record) / max(1, calls - reasked(record))
    tokens, cached = (
        [used[kind] / max(1, calls) for kind in ("prompt", "completion")],
        used["cached"],
    )
    interval = f"{score['mean']:.2f} ({score['low']:.2f} to {score['high']:.2f})"
    cells = [
        task,
        graph,
        form,
        interval,
        f"{at_once:.0%}",
        f"{tokens[0]:.0f}, {tokens[1]:.0f}",
        f"{cached / max(1, used['prompt']):.0%}",
    ]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
