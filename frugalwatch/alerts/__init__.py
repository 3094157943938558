"""Thresholds on what a job tells of itself, and how people hear that one was crossed."""
