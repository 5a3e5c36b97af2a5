"""The executor: the computational graph, its walk, and the forward and backward passes over it."""
