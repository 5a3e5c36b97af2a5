"""Generated graphs and ready node functions that a graph's YAML may name."""
