"""A sweep of a GPU's power limit, and the process that gives the limit back whatever happens."""
