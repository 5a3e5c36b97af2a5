"""A graph with its parameters, as Python uses it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self, TypeVar

from sgdflow.api.job import Job, check_observer, place_of
from sgdflow.api.optimised import Optimised
from sgdflow.api.origin import Origin, given, recorded_as
from sgdflow.config.graph_schema import shown_images
from sgdflow.config.prepare import Prepared, prepare, read_parameters
from sgdflow.config.program import Program, build_program
from sgdflow.config.project import folder_of, hiding, inside
from sgdflow.config.task import Notice
from sgdflow.config.written import lacking
from sgdflow.data.examples import SPLITS
from sgdflow.deploy.export import write_folder
from sgdflow.deploy.predict import Prediction, check_inputs, predict
from sgdflow.descent import Observer
from sgdflow.errors import ConfigError, DataError, NodeFailed, SgdflowError, did_you_mean, listed
from sgdflow.executor.forward import ForwardPass, forward_pass
from sgdflow.executor.graph import Graph, Parameters
from sgdflow.executor.outcomes import Evaluation
from sgdflow.homes import at_home
from sgdflow.prompting.templates import Prompts
from sgdflow.records.source import read_source
from sgdflow.terminal.python import watching_python

T = TypeVar("T")
_FORGET_EVERY = 1000


@dataclass(frozen=True, init=False)
class Flow:
    """A graph with its parameters and models and, where it has them, a task and a method.

    Every method that asks models has a synchronous form and one to await, which starts with
    an `a`; where an event loop runs already, as in a notebook, only the latter works.
    """

    origin: Origin
    parameters: Parameters

    def __init__(
        self,
        *words: str,
        graph: Mapping[str, Any] | str,
        examples: Any = None,
        score: Any = None,
        target: str = "target",
        id: str | None = None,
        name: str = "examples",
        working: str | Path | None = None,
    ) -> None:
        """Declare a graph in Python, in the words of conf/graph; raises ConfigError.

        Flow("llm=openai", "method.stop.steps=4", graph={...}, examples=[...], score=function):
        the words say everything else, as they do for `load`. `graph` may hold callables as forward
        and backward functions, or be a name. `examples` are dictionaries that hold the graph's
        inputs and what is expected under `target`, in a list or in one for each split. `score` is
        a function of any of output, target, inputs, values, or what task.score may be. `name` is
        that of the task in records.
        """
        from sgdflow.config.given import Given

        here = folder_of(working, os.environ)
        with inside(here):
            what = Given(graph, examples, score, target, id, name)
            self._settle(given(what, words, here))

    @classmethod
    def of(cls, origin: Origin, parameters: Parameters | None = None) -> Self:
        """Return the graph of an origin, with these parameters or its own."""
        made = cls.__new__(cls)
        made._settle(origin, parameters)
        return made

    def _settle(self, origin: Origin, parameters: Parameters | None = None) -> None:
        object.__setattr__(self, "origin", origin)
        object.__setattr__(self, "parameters", origin.start if parameters is None else parameters)

    @property
    def config(self) -> Mapping[str, Any]:
        """Return the resolved configuration."""
        return self.origin.config

    @property
    def prompts(self) -> Prompts:
        """Return the templates."""
        return self.origin.prompts

    @property
    def working(self) -> Path:
        """Return where relative paths start."""
        return self.origin.working

    @property
    def name(self) -> str:
        """Return where it was taken from."""
        return self.origin.name

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
                "Load the run itself, name a graph, a task and parameters=FOLDER, or give examples."
            )
        if self.origin.doubt is not None:
            self.origin.doubt.check("graph", "llm", "task", "method")
        if unset := lacking(self.config):
            raise ConfigError("\n".join(unset))
        with inside(self.working):
            ready = prepare({**self.config, "parameters": None}, self.prompts, os.environ)
        more = [Notice(text) for text in [hiding(self.working)] if text]
        return replace(ready, start=self.parameters, notices=(*more, *ready.notices))

    def with_parameters(self, parameters: Parameters) -> Flow:
        """Return the same with other parameters; those that are not named stay."""
        read = read_parameters({**self.parameters, **parameters}, self.graph, "given")
        return Flow.of(self.origin, read)

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

    def predict_lines(
        self, lines: Iterable[str], write: Callable[[Prediction], None], node: str | None = None
    ) -> None:
        """Write a prediction for each line of JSON, in order; a failed one stops no other.

        With `node` it is that node's value, and what comes behind it is not computed.
        """
        _now(self.apredict_lines(lines, write, node), "apredict_lines")

    async def apredict_lines(
        self, lines: Iterable[str], write: Callable[[Prediction], None], node: str | None = None
    ) -> None:
        """Write a prediction for each line of JSON; see `predict_lines`."""
        program = self._with_keys()
        graph, at_once = program.graph, program.calling.limits.concurrency
        graph = graph if node is None else graph.upto(node)
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

    def evaluate(
        self,
        split: str = "test",
        *,
        directory: str | Path | None = None,
        record: bool = True,
        progress: bool = False,
    ) -> Evaluation:
        """Return the outcome of each example of a split.

        It leaves what `sgdflow evaluate` leaves: evaluation.json in `directory` or else
        outputs/DATE/TIME, and a run in MLflow (`tracking=none` among the words: none). With
        `record=False` it leaves nothing.
        """
        return _now(
            self.aevaluate(split, directory=directory, record=record, progress=progress),
            "aevaluate",
        )

    async def aevaluate(
        self,
        split: str = "test",
        *,
        directory: str | Path | None = None,
        record: bool = True,
        progress: bool = False,
    ) -> Evaluation:
        """Return the outcome of each example of a split, with the records of `evaluate`."""
        ready, origin = self.prepared, self.origin
        if split not in SPLITS:
            near = did_you_mean(str(split), SPLITS)
            raise ConfigError(f"split: there is no '{split}'.{near} It is one of {listed(SPLITS)}.")
        examples = getattr(ready.problem.splits, split)
        if not examples:
            raise ConfigError(f"split: the {split} split has no examples (task.splits.{split}).")
        config = recorded_as(origin, self.parameters, self.graph)
        job = Job(ready, config, origin.prompts, origin.working)
        if not record:
            return await job.score(examples)
        with watching_python(wanted=progress) as watch:
            return await job.evaluate(split, place_of(directory, origin.working), watch)

    def optimize(
        self,
        observer: Observer | None = None,
        *,
        directory: str | Path | None = None,
        record: bool = True,
        progress: bool = True,
    ) -> Optimised:
        """Descend from the parameters; the result holds the best that were found.

        It leaves a run directory, `directory` or else outputs/DATE/TIME, is recorded in MLflow
        (`tracking=none` among the words: it is not) and shows how far it has come. With
        `record=False` it leaves nothing; `observer` sees the steps in any case.
        """
        return _now(
            self.aoptimize(observer, directory=directory, record=record, progress=progress),
            "aoptimize",
        )

    async def aoptimize(
        self,
        observer: Observer | None = None,
        *,
        directory: str | Path | None = None,
        record: bool = True,
        progress: bool = True,
    ) -> Optimised:
        """Descend from the parameters; the result holds the best that were found."""
        ready, origin = self.prepared, self.origin
        check_observer(observer)
        folder = place_of(directory, origin.working) if record else None
        with watching_python(wanted=progress) as watch:
            config = recorded_as(origin, self.parameters, self.graph)
            job = Job(ready, config, origin.prompts, origin.working, observer)
            result = await job.run(folder, watch)
        return Optimised.of(result, self.parameters, folder)

    def export(self, folder: str | Path) -> Path:
        """Write all that `sgdflow predict` needs into a new folder."""
        path = at_home(folder, "folder")
        write_folder(self.program, self.parameters, self.prompts, path, {"source": self.name})
        self.origin.made.note(read_source(path, self.working).config, path)
        return path

    def _with_keys(self) -> Program:
        with inside(self.working):
            return build_program(self.config, self.prompts, os.environ)


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
