"""Learning this machine's watts: idle, and by kind of work."""
