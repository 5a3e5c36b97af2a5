"""Backward functions that methods may name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def handed_on(operands: Mapping[str, Any], output: Any, gradient: Any) -> Mapping[str, str]:
    """Give every operand of a node the feedback on its output, as it is; a thing said twice once.

    So all nodes are told what the answer lacked, and no call is made to work out their part in it.
    """
    arrived = gradient if isinstance(gradient, tuple) else (gradient,)
    said = dict.fromkeys(str(getattr(one, "value", one)) for one in arrived)
    return dict.fromkeys(operands, "\n".join(said))
