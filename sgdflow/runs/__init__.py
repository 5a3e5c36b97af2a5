"""A run carried out with everything it leaves behind, and a run found again by its name."""
