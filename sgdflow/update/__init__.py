"""Update rules and gates: from evidence to new parameters."""

from sgdflow.update.decision import Decision
from sgdflow.update.evidence import Evidence, Item, Learned, gather_evidence, shuffled
from sgdflow.update.gate import Gate
from sgdflow.update.optoprime import Whole
from sgdflow.update.own import CallableUpdate
from sgdflow.update.rewrite import Rewrite
from sgdflow.update.rule import Past, Proposal, Scored, Situation, StepCalls, UpdateRule
from sgdflow.update.search import Search
from sgdflow.update.select import Select

__all__ = [
    "CallableUpdate",
    "Decision",
    "Evidence",
    "Gate",
    "Item",
    "Learned",
    "Past",
    "Proposal",
    "Rewrite",
    "Scored",
    "Search",
    "Select",
    "Situation",
    "StepCalls",
    "UpdateRule",
    "Whole",
    "gather_evidence",
    "shuffled",
]
