"""The Python API: load a graph, run it, score it, optimise it (docs/python.md)."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from sgdflow.config.graph_schema import shown_images
from sgdflow.config.paths import prompt_folders
from sgdflow.config.prepare import Prepared, prepare, read_parameters
from sgdflow.config.program import Program, build_program
from sgdflow.config.project import home, inside, look_here
from sgdflow.config.retrieval import moved
from sgdflow.config.written import lacking
from sgdflow.deploy.export import write_folder
from sgdflow.deploy.predict import Prediction, check_inputs, predict
from sgdflow.descent import Descent, Observer, Result, Scores, Step
from sgdflow.errors import ConfigError, DataError, NodeFailed, SgdflowError
from sgdflow.executor.evaluation import Evaluation, Evaluator
from sgdflow.executor.forward import ForwardPass, forward_pass
from sgdflow.executor.graph import Graph, Parameters
from sgdflow.prompting.templates import Prompts
from sgdflow.records import as_yaml
from sgdflow.records.code import make_importable
from sgdflow.records.source import DOCUMENTS, Source, read_source
from sgdflow.records.trust import Doubt, Made, doubted

log = logging.getLogger(__name__)

T = TypeVar("T")
_FORGET_EVERY = 1000


@dataclass(frozen=True)
class Flow:
    """A graph with its parameters and models and, where it has them, a task and a method.

    Every method that asks models has a synchronous form and one to await, which starts with
    an `a`; where an event loop runs already, as in a notebook, only the latter works.
    """

    config: Mapping[str, Any]
    """Resolved."""
    prompts: Prompts
    parameters: Parameters
    working: Path
    """Where relative paths start."""
    name: str
    """Where it was taken from, for messages."""
    doubt: Doubt | None = None
    """What is still to be checked of a folder that a stranger may have made."""
    made: Made = field(default_factory=lambda: Made.by_user(os.environ))
    """Where a folder that is exported is noted as one's own."""

    @property
    def graph(self) -> Graph:
        """Return the computational graph."""
        return self.program.graph

    @cached_property
    def program(self) -> Program:
        """Return what is needed for answers; raises ConfigError."""
        with inside(self.working):
            return build_program(self.config, self.prompts)

    @cached_property
    def prepared(self) -> Prepared:
        """Return what is needed for scores and for steps; raises ConfigError."""
        if "task" not in self.config:
            raise ConfigError(
                f"{self.name} has no task and no method: it can be run, not scored or optimised. "
                "Load the run itself, or name a graph, a task and parameters=FOLDER."
            )
        if self.doubt is not None:
            self.doubt.check("graph", "llm", "task", "method")
        if unset := lacking(self.config):
            raise ConfigError("\n".join(unset))
        with inside(self.working):
            ready = prepare({**self.config, "parameters": None}, self.prompts, os.environ)
        return replace(ready, start=self.parameters)

    def with_parameters(self, parameters: Parameters) -> Flow:
        """Return the same with other parameters; those that are not named stay."""
        read = read_parameters({**self.parameters, **parameters}, self.graph, "given")
        return replace(self, parameters=read)

    def run(self, inputs: Mapping[str, Any]) -> ForwardPass:
        """Return every node's value for one set of inputs, with prompts and failures."""
        return _now(self.arun(inputs), "arun")

    async def arun(self, inputs: Mapping[str, Any]) -> ForwardPass:
        """Return every node's value for one set of inputs, with prompts and failures."""
        try:
            fitting = check_inputs(inputs, self.graph.inputs, shown_images(self.program.conf))
        except DataError as error:
            raise DataError(f"The input {error}") from None
        program = self._with_keys()
        async with program.calling.opened(self.working, os.environ) as llm:
            return await forward_pass(program.graph, self.parameters, "run", fitting, llm)

    def predict(self, inputs: Mapping[str, Any]) -> Any:
        """Return the output for one set of inputs; raises NodeFailed where there is none."""
        return _now(self.apredict(inputs), "apredict")

    async def apredict(self, inputs: Mapping[str, Any]) -> Any:
        """Return the output for one set of inputs; raises NodeFailed where there is none."""
        return _output(self.graph, await self.arun(inputs))

    def predict_lines(self, lines: Iterable[str], write: Callable[[Prediction], None]) -> None:
        """Write a prediction for each line of JSON, in order; a failed one stops no other."""
        _now(self.apredict_lines(lines, write), "apredict_lines")

    async def apredict_lines(
        self, lines: Iterable[str], write: Callable[[Prediction], None]
    ) -> None:
        """Write a prediction for each line of JSON, in order; a failed one stops no other."""
        program = self._with_keys()
        graph, at_once = program.graph, program.calling.limits.concurrency
        async with program.calling.opened(self.working, os.environ) as llm:
            answered = 0

            async def answer(inputs: Mapping[str, Any]) -> Any:
                nonlocal answered
                passed = await forward_pass(graph, self.parameters, "row", inputs, llm)
                answered += 1
                if answered % _FORGET_EVERY == 0:
                    llm.forget()
                return _output(graph, passed)

            await predict(lines, graph.inputs, answer, write, at_once, shown_images(program.conf))

    def evaluate(self, split: str = "test") -> Evaluation:
        """Return the outcome of each example of a split."""
        return _now(self.aevaluate(split), "aevaluate")

    async def aevaluate(self, split: str = "test") -> Evaluation:
        """Return the outcome of each example of a split."""
        ready = self.prepared
        problem = ready.problem
        examples = getattr(problem.splits, split, None)
        if not examples:
            raise ConfigError(f"split: the {split} split has no examples (task.splits.{split}).")
        async with ready.calling.opened(self.working, os.environ) as llm:
            evaluator = Evaluator(problem.graph, problem.score, llm, None, problem.first)
            return await evaluator(self.parameters, examples)

    def optimize(self, observer: Observer | None = None) -> Result:
        """Descend from the parameters; the result holds the best that were found.

        Nothing is recorded: `observer` sees the steps. `sgdflow optimize` keeps records.
        """
        return _now(self.aoptimize(observer), "aoptimize")

    async def aoptimize(self, observer: Observer | None = None) -> Result:
        """Descend from the parameters; the result holds the best that were found."""
        ready = self.prepared
        async with ready.calling.opened(self.working, os.environ) as llm:
            descent = Descent(ready.problem, ready.method, llm, observer or _Unobserved())
            return await descent.run(self.parameters)

    def export(self, folder: str | Path) -> Path:
        """Write all that `sgdflow predict` needs into a new folder."""
        path = Path(folder)
        write_folder(self.program, self.parameters, self.prompts, path, {"source": self.name})
        self.made.note(read_source(path, self.working).config, path)
        return path

    def _with_keys(self) -> Program:
        with inside(self.working):
            return build_program(self.config, self.prompts, os.environ)


def load(*words: str | Path, working: str | Path | None = None, trust: bool = False) -> Flow:
    """Return the graph that overrides declare, or that a directory or an MLflow run holds.

    load("graph=hints", "llm=openai"); load("outputs/first"); load("FOLDER", "llm=ollama").
    Raises ConfigError with all mistakes; nothing is computed or spent. `working` is the folder of
    the project, whose conf, prompts, experiments and modules come first and where relative paths
    start: else SGDFLOW_PROJECT or the working directory. A folder that is not
    known to be made here by this user runs no code of its own, and sends nothing anywhere but to
    a provider's own address, unless `trust`.
    """
    here = Path(working).resolve() if working is not None else home(os.environ)
    with inside(here):
        if not words or _is_override(words[0]):
            return _declared([str(word) for word in words], here)
        return _found(str(words[0]), [str(word) for word in words[1:]], here, trust)


def _declared(overrides: Sequence[str], here: Path) -> Flow:
    from sgdflow.config.compose import compose

    look_here(here)
    config = compose(overrides)
    prompts = Prompts(prompt_folders(here))
    graph = build_program(config, prompts).graph
    start = graph.initial()
    if path := config.get("parameters"):
        start = load_parameters(path, graph)
    return Flow(config, prompts, start, here, " ".join(overrides) or "the default")


def _found(name: str, overrides: Sequence[str], here: Path, trust: bool) -> Flow:
    from sgdflow.config.compose import changed
    from sgdflow.runs.recorded import check_whole, directory_of

    with directory_of(name, overrides) as (path, others):
        source = read_source(path, here)
        made = Made.by_user(os.environ)
        doubt = None if trust else doubted(name, source, here, others, made)
        if doubt is not None:
            doubt.check("graph", "llm")
    if doubt is None:
        look_here(here)
        if source.code is not None:
            make_importable(source.code)
    prompts = Prompts(source.prompts)
    if not source.whole:
        log.warning(
            "%s has no result: the run is under way, was stopped or failed. Its best parameters "
            "so far are taken.",
            name,
        )
    config = changed(_placed(source), others)
    check_whole(config, name)
    graph = build_program(config, prompts).graph
    parameters = read_parameters(source.parameters, graph, str(path / "parameters.yaml"))
    return Flow(config, prompts, parameters, here, name, doubt, made)


def _placed(source: Source) -> Mapping[str, Any]:
    """Return the configuration; an exported folder's documents are found from everywhere."""

    def place(node: str, said: str) -> str:
        brought = source.exported and Path(said).parts[:1] == (DOCUMENTS,)
        return str((source.path / said).resolve()) if brought else said

    return {**source.config, "graph": moved(source.config.get("graph"), place)}


def load_parameters(path: str | Path, graph: Graph) -> Parameters:
    """Return the parameters in a file, or a run directory; raises ConfigError."""
    from sgdflow.config.prepare import starting_parameters

    return starting_parameters(graph, str(path))


def save_parameters(parameters: Parameters, path: str | Path) -> None:
    """Write parameters.yaml."""
    Path(path).write_text(as_yaml(parameters), encoding="utf-8")


def _is_override(word: str | Path) -> bool:
    return isinstance(word, str) and "=" in word and not Path(word).is_dir()


def _output(graph: Graph, passed: ForwardPass) -> Any:
    if failure := passed.failures.get(graph.output):
        raise NodeFailed(f"{failure.origin}: {failure.reason}")
    return passed.values[graph.output]


def _now(work: Coroutine[Any, Any, T], awaited: str) -> T:
    """Run the work in an event loop of its own."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    work.close()
    raise SgdflowError(
        f"An event loop is running here, as it does in a notebook: write `await` and {awaited}(...)"
        " instead."
    )


class _Unobserved:
    def scored(self, initial: Scores) -> None: ...

    def stepped(self, step: Step) -> None: ...


__all__: Sequence[str] = (
    "ConfigError",
    "Evaluation",
    "Flow",
    "ForwardPass",
    "NodeFailed",
    "Prediction",
    "Result",
    "SgdflowError",
    "load",
    "load_parameters",
    "save_parameters",
)
