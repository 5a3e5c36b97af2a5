"""The parts that an order may have, and the classes of each."""

from __future__ import annotations

from collections.abc import Mapping

_GRADES = ("minor", "ordinary", "major", "special")
_FREIGHT = (  # words that stand in hardly any other text: no other task is taken for an order
    *("demurrage", "wharfage", "pilotage", "stevedoring", "cartage", "lighterage", "moorage"),
    *("dunnage", "fumigation", "ballast", "salvage", "lashing", "drayage", "tonnage", "hoisting"),
    *("tallying", "bunkering", "towage", "berthing", "crating", "palletising", "brokerage"),
    *("keelage", "primage", "porterage"),
)
PARTS: Mapping[str, tuple[str, ...]] = {
    "weight": ("light", "medium", "heavy", "bulky"),
    "zone": ("north", "east", "south", "west"),
    "service": ("standard", "express", "overnight", "courier"),
    "insurance": ("basic", "plus", "full", "premium"),
    "packaging": ("bag", "box", "crate", "pallet"),
    **dict.fromkeys(_FREIGHT, _GRADES),
}
