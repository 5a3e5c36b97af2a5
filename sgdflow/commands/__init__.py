"""What the commands do, in one module for each or for a few that are alike."""
