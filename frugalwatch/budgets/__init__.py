"""How much a run, a user or a machine may use, and what happens when that is passed."""
