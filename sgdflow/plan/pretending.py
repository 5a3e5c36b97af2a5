"""What stands in for the parts of a run that ask somebody, or that are somebody's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from hashlib import sha256
from typing import Any, ClassVar

from sgdflow.descent.method import Method
from sgdflow.executor.backward_functions import CallableBackward
from sgdflow.executor.constraints import Constraints
from sgdflow.executor.forward import PromptForward
from sgdflow.executor.functions import Function
from sgdflow.executor.gradients import collect
from sgdflow.executor.graph import Computed, Graph, Node, Operands
from sgdflow.executor.loss import CallableLoss
from sgdflow.executor.places import View
from sgdflow.executor.samples import Anything
from sgdflow.llm import LLM, Message
from sgdflow.plan.standin import AnyForm, made_up
from sgdflow.prompting.ask import Ask
from sgdflow.prompting.replies import ReplyFormat
from sgdflow.update import CallableUpdate, Item, Proposal, Situation, StepCalls
from sgdflow.update.apart import Apart
from sgdflow.update.checks import no_check
from sgdflow.update.optoprime import Whole
from sgdflow.update.rewrite import Rewrite
from sgdflow.update.rule import Cause


@dataclass(frozen=True, slots=True)
class _AnyReply(ReplyFormat):
    """Asks as the declared format does, and takes any reply for one in that format."""

    longest: int | None = None

    def read(self, text: str, names: Sequence[str] = (), *, cut: bool = False) -> Mapping[str, str]:
        share = len(text) // (len(names) or 1) // 4
        if self.longest is not None:
            share = min(share, self.longest // 4)
        made = {name: made_up(_digest(name, text), max(share, 4)) for name in names or [""]}
        return {"": Anything(made[""])} if self.schema is not None else made


class _Said(dict[str, Any]):
    """Variables, until there is the prompt that is rendered from them."""

    prompt: tuple[tuple[Message, ...], ReplyFormat] | None = None


@dataclass(frozen=True, slots=True)
class _AskOnce(Ask):
    """Renders the same variables once."""

    def _prompt(
        self, variables: Mapping[str, Any], names: Sequence[str]
    ) -> tuple[tuple[Message, ...], ReplyFormat]:
        if not isinstance(variables, _Said):
            return Ask._prompt(self, variables, names)
        if variables.prompt is None:
            variables.prompt = Ask._prompt(self, variables, names)
            variables.clear()
        return variables.prompt


@dataclass(frozen=True, slots=True)
class _Again(PromptForward):
    """Asks the same in the same place with the same variables: rehearsals take the same ways."""

    placed: bool = True
    """Whether its template may show the place; otherwise a mark alone can hang on that."""
    known: dict[Any, tuple[View, _Said]] = field(default_factory=dict)

    def _variables(self, node: View, operands: Operands) -> Mapping[str, Any]:
        texts = (*operands.predecessors.values(), *operands.parameters.values())
        if not all(isinstance(one, str) for one in texts):  # 1 and True are the same to a dict
            return PromptForward._variables(self, node, operands)
        bare = not (self.placed or node.behind or node.reasons or node.successes)
        where = id(node) if node.texts is None or not bare else node.texts
        if (key := (where, texts)) not in self.known:
            made = _Said(PromptForward._variables(self, node, operands))
            self.known[key] = node, made  # with the place, so that no other one takes its id
        return self.known[key][1]


def pretended(thing: Any) -> Any:
    """Return a part of a method or node that takes any reply."""
    if isinstance(thing, CallableBackward):
        return _OwnBackward(thing)
    if isinstance(thing, CallableLoss):
        return CallableLoss(Function(lambda output, target: f"Not {output}.", "loss"))
    if isinstance(thing, CallableUpdate):
        return _OwnUpdate()
    if not is_dataclass(thing) or isinstance(thing, type):
        return thing
    longest = getattr(thing, "max_characters", None)
    asks = {
        one.name: replace(ask, reply=_any(ask.reply, longest), attempts=1)
        for one in fields(thing)
        if isinstance(ask := getattr(thing, one.name), Ask)
    }
    if isinstance(thing, Rewrite | Whole):
        thing = replace(thing, check=no_check)
    if isinstance(thing, Rewrite):
        thing = replace(thing, form=AnyForm(thing.form))
    if isinstance(thing, Apart):
        thing = replace(thing, read=_as_many)
    return replace(thing, **asks) if asks else thing


def pretended_graph(graph: Graph) -> Graph:
    """Return a graph whose models take any reply, and whose code is not run."""

    def node(real: Node) -> Node:
        code = real.forward.ask is None
        forward = _OwnForward(largest=real.forward.largest) if code else pretended(real.forward)
        if type(forward) is PromptForward:
            ask = forward.ask
            placed = "node" in ask.prompts.mentioned(ask.prompt)
            once = replace(forward, ask=_AskOnce(**_values(ask)))
            forward = _Again(**_values(once), placed=placed)
        # Whatever may be computed is: nobody knows which conditions will hold.
        return replace(real, forward=forward, backward=pretended(real.backward), when=None)

    # Made-up texts keep to nothing.
    free = {name: replace(one, constraints=Constraints()) for name, one in graph.parameters.items()}
    nodes = {name: node(real) for name, real in graph.nodes.items()}
    return replace(graph, nodes=nodes, parameters=free)


def differentiation(method: Method) -> Any:
    """Return how a method differentiates, where its models take any reply."""
    how = method.differentiation
    if how is None:
        return None
    same = {"aggregate": collect, "tree": pretended(how.tree)}
    return replace(how, default=pretended(how.default), **same)


def _as_many(reply: str, items: Sequence[Item], most: int) -> tuple[Cause, ...]:
    """Return as many causes as there may be, each with evidence of its own where there is some."""
    dealt = [tuple(items[place::most]) or tuple(items) for place in range(most)]
    return tuple(
        Cause(f"{place} {reply}", f"{place} {reply}", own) for place, own in enumerate(dealt)
    )


def _any(declared: ReplyFormat, longest: int | None) -> _AnyReply:
    return _AnyReply(
        declared.format,
        declared.tag,
        declared.partial,
        reasoning=declared.reasoning,
        schema=declared.schema,
        longest=longest,
    )


def _values(thing: Any) -> dict[str, Any]:
    return {one.name: getattr(thing, one.name) for one in fields(thing)}


def _digest(*parts: object) -> str:
    return sha256(repr(parts).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class _OwnForward:
    """In place of a node's code, which may do anything."""

    ask: None = None
    requests: int = 0
    code: str = "code"
    described: str = "code"
    largest: str = ""

    async def forward(self, node: View, operands: Operands, llm: LLM) -> Computed:
        return Computed(Anything(self.largest or made_up(_digest(node.name, operands), 4)))

    def problems(self, node: Node) -> Iterator[str]:
        return iter(())


@dataclass(frozen=True, slots=True)
class _OwnBackward:
    real: CallableBackward

    def targets(self, *where: Any) -> Sequence[str]:
        return self.real.targets(*where)

    async def backward(
        self,
        node: View,
        operands: Operands,
        output: Any,
        gradient: Any,
        targets: Sequence[str],
        llm: LLM,
    ) -> Computed:
        return Computed({name: f"Another {name}." for name in targets})

    def problems(self, node: Node) -> Iterator[str]:
        return iter(())


@dataclass(frozen=True, slots=True)
class _OwnUpdate:
    goes_by_scores: ClassVar[bool] = True

    async def propose(self, situation: Situation, llm: LLM) -> Proposal:
        return Proposal({n: f"Text {situation.step} of {n}." for n in situation.optimised})

    def problems(self, graph: Graph, optimised: Sequence[str]) -> Iterator[str]:
        return iter(())

    def calls(self, parameters: int) -> StepCalls:
        return StepCalls()
