"""Captures: what `run --capture` kept of a program, as files that only their user can read."""
