"""What an empty screen says: why, and the next command."""

from __future__ import annotations

from frugalwatch.screen.records import Look


def trouble_lines(look: Look) -> list[str]:
    """Why nothing could be read yet; empty for a ledger that does not exist, or is fine."""
    if look.trouble is None or look.trouble.kind == "missing":
        return []
    return [look.trouble.message, look.trouble.hint, "", "Trying again every second."]


def no_run_lines(look: Look) -> list[str]:
    """How to record the first run."""
    return [
        "No run has been recorded yet.",
        "",
        "In another terminal:",
        "",
        "    frugalwatch run -- python train.py",
        "",
        "It shows up here by itself. What this machine can measure:",
        "",
        "    frugalwatch doctor",
        "",
        f"Looking at {look.path}",
    ]
