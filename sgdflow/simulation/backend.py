"""The simulated models as a backend: they answer in the process, without a key and for free."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from sgdflow.llm import Message, Usage
from sgdflow.llm.backend import Answer
from sgdflow.llm.models import ModelSpec, Price, estimated_tokens

GUESSES = (
    "the simulated models know nothing of these examples: they guess, and learn nothing "
    "(docs/simulation.md says what they know). Choose a model with llm=NAME"
)


def only_guesses(
    models: Mapping[str, ModelSpec],
    roles: Collection[str],
    prompts: Collection[Sequence[Message]],
) -> bool:
    """Return whether all roles are simulated models that know nothing of any of the prompts."""
    if not prompts or not all(role in models and models[role].in_process for role in roles):
        return False
    # They are needed only where somebody uses them.
    from sgdflow.simulation.worlds import knows

    return not any(map(knows, prompts))


class Simulated:
    """Asks the simulated models; through litellm it would take several times as long."""

    def load(self, specs: Iterable[ModelSpec]) -> None:
        """Do nothing: the first call finds what it needs."""

    async def ask(
        self,
        spec: ModelSpec,
        messages: Sequence[Message],
        *,
        sample: int,
        key: str | None,
        seconds: float,
    ) -> Answer:
        """Return the answer; what is raised is a defect of the simulated models."""
        # They are needed only where somebody uses them.
        from sgdflow.simulation.worlds import reply

        text = reply(messages, spec.parameters_of(messages, sample).get("seed", 0))
        prompt = estimated_tokens(*(said.content for said in messages))
        usage = Usage(prompt, estimated_tokens(text))
        return Answer(text, "stop", usage, self.price_of(spec).of(usage))

    def price_of(self, spec: ModelSpec) -> Price:
        """Return the declared price, or none to pay."""
        return spec.price or Price(0.0, 0.0)

    async def close(self) -> None:
        """Do nothing: nothing is open."""
