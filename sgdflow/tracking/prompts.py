"""The texts of a run in MLflow's Prompt Registry (docs/tracking.md)."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sgdflow.tracking.client import Run, client

log = logging.getLogger(__name__)

BEST = "best"
TEXT_LIMIT = 100_000
# What the pages of the UI look for: they link runs and versions in both directions by the last
# one. MLflow's client writes to the store of the fluent API, which need not be ours.
_EXPERIMENTS, _RUNS = "_mlflow_experiment_ids", "mlflow.prompt.run_ids"
_DIGEST, _SCORE, _ON = "sgdflow.text", "sgdflow.best_score", "sgdflow.best_on"


@dataclass(frozen=True, slots=True)
class Standing:
    """How good a run's best texts are."""

    score: float
    on: str
    """Split and task; scores on something else do not compare."""


class PromptBook:
    """Keeps the texts of one run: each different text of a parameter is one version."""

    def __init__(self, uri: str, run: Run, graph: str) -> None:
        self._client, self._run, self._graph = client(uri), run, graph
        self._found: dict[tuple[str, str], str] = {}
        self._prompts: set[str] = set()

    def keep(self, texts: Mapping[str, Any], message: str, tags: Mapping[str, str]) -> None:
        """Register the texts that the registry does not have, and link all to the run."""
        about = {**tags, "sgdflow.run_id": self._run.id}
        for prompt, text in self._fitting(texts):
            self._version(prompt, text, message, about)

    def crown(self, texts: Mapping[str, Any], standing: Standing) -> None:
        """Move the alias to these texts, unless a better run on the same data has it."""
        fitting = dict(self._fitting(texts))
        for prompt in fitting:
            tags = self._client.get_prompt(prompt).tags
            if tags.get(_ON) == standing.on and float(tags.get(_SCORE, 0)) > standing.score:
                return
        for prompt, text in fitting.items():
            version = self._version(prompt, text, "", {})
            self._client.set_prompt_alias(prompt, BEST, int(version))
            self._client.set_prompt_tag(prompt, _ON, standing.on)
            self._client.set_prompt_tag(prompt, _SCORE, str(standing.score))

    def _fitting(self, texts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Yield prompts and texts; the registry takes texts only, and no very long ones."""
        for name, text in texts.items():
            if not isinstance(text, str):
                continue
            if len(text) <= TEXT_LIMIT:
                yield prompt_name(self._graph, name), text
            else:
                log.warning(
                    "MLflow's registry has no room for %s (%d characters, at most %d); "
                    "the run directory has it.",
                    name,
                    len(text),
                    TEXT_LIMIT,
                )

    def _version(self, prompt: str, text: str, message: str, tags: Mapping[str, str]) -> str:
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        if (prompt, digest) not in self._found:
            self._make(prompt)
            found = self._search(prompt, digest)
            if found is None:
                made = self._client.create_prompt_version(
                    prompt, text, message, {**tags, _DIGEST: digest, _RUNS: self._run.id}
                )
                found = str(made.version)
            self._found[prompt, digest] = found
        return self._found[prompt, digest]

    def _make(self, prompt: str) -> None:
        """Make the prompt if there is none, and show it among those of the experiment."""
        if prompt in self._prompts:
            return
        from mlflow.exceptions import MlflowException

        experiment = self._run.experiment_id
        there = self._client.get_prompt(prompt)
        if there is None:
            try:
                tags = {_EXPERIMENTS: f",{experiment},", "sgdflow.graph": self._graph}
                self._client.create_prompt(prompt, tags=tags)
            except MlflowException:
                # Another process may have been faster.
                there = self._client.get_prompt(prompt)
                if there is None:
                    raise
        if there is not None:
            shown = there.tags.get(_EXPERIMENTS, ",")
            if f",{experiment}," not in shown:
                self._client.set_prompt_tag(prompt, _EXPERIMENTS, f"{shown}{experiment},")
        self._prompts.add(prompt)

    def _search(self, prompt: str, digest: str) -> str | None:
        """Return the version that has this text already, linked to this run from now on."""
        where = f"name = '{prompt}' and tags.`mlflow.prompt.is_prompt` = 'true'"
        found = self._client.search_model_versions(f"{where} and tags.`{_DIGEST}` = '{digest}'")
        if not found:
            return None
        first = min(found, key=lambda version: int(version.version))
        runs = [one for one in first.tags.get(_RUNS, "").split(",") if one]
        if self._run.id not in runs:
            whole = ",".join([*runs, self._run.id])
            self._client.set_prompt_version_tag(prompt, str(first.version), _RUNS, whole)
        return str(first.version)


def prompt_name(graph: str, parameter: str) -> str:
    """Return `<graph>.<node>.<parameter>` in the letters that the registry allows."""
    return re.sub(r"[^a-zA-Z0-9_.\-]", "_", f"{graph}.{parameter}")
