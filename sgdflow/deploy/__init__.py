"""A graph with its parameters, taken elsewhere and answering there."""
