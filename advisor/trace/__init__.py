"""Serving practice, replayed on the trace of a program's own requests."""
