"""Quality without labels: whether a change that is not exact keeps the answers within a limit.

docs/explanation/quality-without-labels.md says what is compared and what a point is.
"""
