"""The texts of a run in MLflow's Prompt Registry (docs/tracking.md)."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sgdflow.tracking.client import Run, client
from sgdflow.tracking.transaction import transaction

log = logging.getLogger(__name__)

BEST = "best"
TEXT_LIMIT = 100_000
_MANY, _PAGE, _AT_ONCE = 20, 1000, 20
"""From how many on prompts are looked for in the list of all, and how many a page of it has;
how many are written in one transaction."""
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
        self._client, self._run, self._graph, self._uri = client(uri), run, graph, uri
        self._store: Any = self._client
        """What is written to: the client, or all of a transaction."""
        self._found: dict[tuple[str, str], str] = {}
        self._prompts: set[str] = set()
        self._new: set[str] = set()
        """Prompts of which there is no version yet."""

    def keep(self, texts: Mapping[str, Any], message: str, tags: Mapping[str, str]) -> None:
        """Register the texts that the registry does not have, and link all to the run."""
        about, fitting = {**tags, "sgdflow.run_id": self._run.id}, dict(self._fitting(texts))
        there = self._there([prompt for prompt in fitting if prompt not in self._prompts])

        def one(prompt: str, text: str) -> None:
            self._make(prompt, there.get(prompt))
            self._version(prompt, text, message, about)

        self._each(fitting, one)

    def crown(self, texts: Mapping[str, Any], standing: Standing) -> None:
        """Move the alias to these texts, unless a better run on the same data has it."""
        fitting = dict(self._fitting(texts))
        there = self._there(fitting)
        for tags in there.values():
            if tags.get(_ON) == standing.on and float(tags.get(_SCORE, 0)) > standing.score:
                return
        about = {_ON: standing.on, _SCORE: str(standing.score)}

        def one(prompt: str, text: str) -> None:
            self._make(prompt, there.get(prompt))
            version = self._version(prompt, text, "", {})
            self._store.set_prompt_alias(prompt, BEST, int(version))
            known = there.get(prompt, {})
            for key in (key for key in about if known.get(key) != about[key]):
                self._store.set_prompt_tag(prompt, key, about[key])

        self._each(fitting, one)

    def _each(self, texts: Mapping[str, str], do: Callable[[str, str], None]) -> None:
        """Do it for each, many in one transaction; where that fails, one after the other."""
        whole = [*texts.items()]
        for some in (whole[at : at + _AT_ONCE] for at in range(0, len(whole), _AT_ONCE)):
            before = dict(self._found), set(self._prompts), set(self._new)
            try:
                with transaction(self._uri, self._client) as self._store:
                    for prompt, text in some:
                        do(prompt, text)
            except Exception as error:  # another process may have been faster
                log.debug("prompts are written one by one: %s", error)
                self._found, self._prompts, self._new = before
                self._store = self._client
                for prompt, text in some:
                    do(prompt, text)
            finally:
                self._store = self._client

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
            found = None if prompt in self._new else self._search(prompt, digest)
            self._new.discard(prompt)
            if found is None:
                made = self._store.create_prompt_version(
                    prompt, text, message, {**tags, _DIGEST: digest, _RUNS: self._run.id}
                )
                found = str(made.version)
            self._found[prompt, digest] = found
        return self._found[prompt, digest]

    def _make(self, prompt: str, tags: Mapping[str, str] | None) -> None:
        """Make a prompt if it has no tags, and show it among those of the experiment."""
        if prompt in self._prompts:
            return
        if tags is None:
            tags = self._made(prompt)
        shown, experiment = tags.get(_EXPERIMENTS, ","), self._run.experiment_id
        if f",{experiment}," not in shown:
            self._store.set_prompt_tag(prompt, _EXPERIMENTS, f"{shown}{experiment},")
        self._prompts.add(prompt)

    def _made(self, prompt: str) -> Mapping[str, str]:
        """Make a prompt; return its tags."""
        from mlflow.exceptions import MlflowException

        tags = {_EXPERIMENTS: f",{self._run.experiment_id},", "sgdflow.graph": self._graph}
        try:
            self._store.create_prompt(prompt, tags=tags)
        except MlflowException:
            if self._store is not self._client:
                raise
            # Another process may have been faster.
            there = self._there([prompt])
            if prompt not in there:
                raise
            return there[prompt]
        self._new.add(prompt)
        return tags

    def _there(self, prompts: Collection[str]) -> Mapping[str, Mapping[str, str]]:
        """Return the tags of those that are there: of many from a list, which costs less."""
        if len(prompts) < _MANY:
            found = {prompt: self._client.get_prompt(prompt) for prompt in prompts}
            return {prompt: one.tags for prompt, one in found.items() if one is not None}
        listed: dict[str, Mapping[str, str]] = {}
        page, where = None, f"name LIKE '{prompt_name(self._graph, '')}%'"
        while page is None or page.token:
            token = None if page is None else page.token
            page = self._client.search_prompts(where, max_results=_PAGE, page_token=token)
            listed |= {one.name: one.tags for one in page}
        return {prompt: listed[prompt] for prompt in prompts if prompt in listed}

    def _search(self, prompt: str, digest: str) -> str | None:
        """Return the version that has this text already, linked to this run from now on."""
        where = f"name = '{prompt}' and tags.`mlflow.prompt.is_prompt` = 'true'"
        found = self._store.search_model_versions(f"{where} and tags.`{_DIGEST}` = '{digest}'")
        if not found:
            return None
        first = min(found, key=lambda version: int(version.version))
        runs = [one for one in first.tags.get(_RUNS, "").split(",") if one]
        if self._run.id not in runs:
            whole = ",".join([*runs, self._run.id])
            self._store.set_prompt_version_tag(prompt, str(first.version), _RUNS, whole)
        return str(first.version)


def prompt_name(graph: str, parameter: str) -> str:
    """Return `<graph>.<node>.<parameter>` in the letters that the registry allows."""
    return re.sub(r"[^a-zA-Z0-9_.\-]", "_", f"{graph}.{parameter}")
