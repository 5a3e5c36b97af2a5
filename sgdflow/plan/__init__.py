"""What a run would take, from rehearsals of it."""
