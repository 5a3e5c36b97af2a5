"""Python callables as declared in YAML: resolved once, called synchronously or awaited."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sgdflow.errors import BudgetSpent, EndpointDown, NodeFailed, NotStored, ProviderRefused

_ENDINGS = (BudgetSpent, EndpointDown, NotStored, ProviderRefused)


@dataclass(frozen=True, slots=True)
class Function:
    """A callable, the name it was declared under and its constant keyword arguments."""

    call: Callable[..., Any]
    name: str
    constants: Mapping[str, Any] = field(default_factory=dict)

    async def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Call it; whatever it raises becomes NodeFailed with the reason.

        All but what ends a run: models that it asks may answer no call any more.
        """
        try:
            result = self.call(*arguments, **named, **self.constants)
            return await result if inspect.isawaitable(result) else result
        except Exception as error:
            if ending := next((one for one in _single(error) if isinstance(one, _ENDINGS)), None):
                raise ending from None
            reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            raise NodeFailed(f"{self.name} raised {reason}") from error

    def takes(self, name: str) -> bool:
        """Return whether it has, as far as can be told, a parameter of this name."""
        try:
            parameters = inspect.signature(self.call).parameters.values()
        except ValueError:
            return True
        return any(one.name == name or one.kind is one.VAR_KEYWORD for one in parameters)

    def named(self) -> Mapping[str, bool] | None:
        """Return what can be given by name, and whether it has to be; None where nobody can tell.

        Constants are given already.
        """
        try:
            parameters = inspect.signature(self.call).parameters.values()
        except ValueError:
            return None
        kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        return {
            one.name: one.default is one.empty
            for one in parameters
            if one.kind in kinds and one.name not in self.constants
        }

    def problems(self, *arguments: str, **named: str) -> Iterator[str]:
        """Yield why it cannot be called with arguments of these names."""
        try:
            inspect.signature(self.call).bind(*arguments, **named, **self.constants)
        except TypeError as error:
            given = ", ".join([*arguments, *(f"{n}=..." for n in (*named, *self.constants))])
            yield f"{self.name}({given}): {error}."
        except ValueError:
            return  # built-ins without a signature can only be tried


def _single(error: BaseException) -> Iterator[BaseException]:
    """Yield the errors of a group, which a task group raises."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _single(inner)
    else:
        yield error
