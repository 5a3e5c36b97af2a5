"""Whether a run is worth its calls, asked with a few calls before it."""
