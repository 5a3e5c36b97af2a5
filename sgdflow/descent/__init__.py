"""Semantic gradient descent: the loop, its steps, the gate's trials and the budget."""

from sgdflow.descent.loop import Descent
from sgdflow.descent.steps import Gating, Observer, Result, Scores, Step, Tested, Tried

__all__ = ["Descent", "Gating", "Observer", "Result", "Scores", "Step", "Tested", "Tried"]
