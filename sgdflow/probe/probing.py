"""A probe: a few calls before a run, and what they say of it."""

from __future__ import annotations

from sgdflow.config.prepare import Prepared
from sgdflow.errors import NoResult
from sgdflow.executor.evaluation import Evaluator
from sgdflow.executor.outcomes import Evaluation
from sgdflow.executor.progress import Progress, Unwatched
from sgdflow.llm import LLM
from sgdflow.probe.asking import Again, Capped
from sgdflow.probe.crossed import Table
from sgdflow.probe.findings import Findings, Noise, Pair
from sgdflow.probe.measure import noise_of, start_of
from sgdflow.probe.sight import lucky, sights
from sgdflow.probe.sizes import Sizes, fitted
from sgdflow.probe.wordings import Wordings, written
from sgdflow.prompting.templates import Prompts
from sgdflow.simulation.backend import only_guesses


async def probe(
    prepared: Prepared, prompts: Prompts, llm: LLM, progress: Progress | None = None
) -> Findings:
    """Ask within the declared calls; raises NoResult where no example could be scored."""
    problem, sizes = prepared.problem, fitted(prepared)
    capped, watched = Capped(llm, prepared.config.probe.calls), progress or Unwatched()
    # All of the first examples failing alike is what a probe is to find, not to end at.
    evaluate = Evaluator(problem.graph, problem.score, capped, watched)
    scored = await evaluate(prepared.start, problem.splits.train[: sizes.start])
    if not scored.scores:
        why = next(iter(scored.failures.values()))
        raise NoResult(f"no training example could be scored ({why})")
    start = start_of(problem, scored)
    noise: Noise | None = None
    if sizes.again:
        once_more = Evaluator(problem.graph, problem.score, Again(capped), watched)
        second = await once_more(prepared.start, problem.splits.train[: sizes.again])
        noise = noise_of(problem.graph, scored, second)
    pairs, wordings = await _pairs(prepared, prompts, sizes, capped, evaluate, watched)
    return Findings(
        start,
        noise,
        pairs,
        tuple(sights(prepared, start, noise)),
        lucky(prepared, noise),
        capped.made,
        wordings.texts,
        _guessed(prepared, scored),
    )


def _guessed(prepared: Prepared, scored: Evaluation) -> bool:
    """Return whether all that was asked was asked of simulated models, which only guessed."""
    calls = [
        call
        for outcome in scored.outcomes.values()
        for made in outcome.passed.calls.values()
        for call in made
    ]
    roles = {call.role for call in calls}
    return only_guesses(prepared.calling.models, roles, [call.messages for call in calls])


async def _pairs(
    prepared: Prepared,
    prompts: Prompts,
    sizes: Sizes,
    llm: LLM,
    evaluate: Evaluator,
    watched: Progress,
) -> tuple[tuple[Pair, ...], Wordings]:
    """Return what is found of each pair of nodes, and the wordings that were tried."""
    left_out = tuple(Pair(nodes, "not tried", why) for nodes, why in sizes.left_out.items())
    if not sizes.pairs:
        return left_out, Wordings()
    problem, conf = prepared.problem, prepared.config.probe
    units = {unit.node: unit for pair in sizes.pairs for unit in pair}
    wordings = await written(prepared, prompts, [*units.values()], llm)
    known = await evaluate(prepared.start, problem.splits.train[: sizes.crossed])
    examples = [one for one in problem.splits.train[: sizes.crossed] if one.id in known.scores]
    table = Table(problem.graph, prepared.start, sizes.pairs, wordings)
    done = watched.expect("trying wordings", len(table.cells()) * len(examples))
    scores = await table.scored(evaluate, examples, known, done)
    return (*table.judged(scores, conf.level), *left_out), wordings
