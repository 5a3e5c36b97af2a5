"""Papers whose fields get codes by hidden rules: passed from hand to hand, or filled in at once."""

from sgdflow.simulation.forms.papers import graph, papers
from sgdflow.simulation.forms.world import Forms

__all__ = ["Forms", "graph", "papers"]
