"""Rows of the summary: a label, a first cell, and what goes on below it, in 78 columns."""

from __future__ import annotations

WIDTH = 78
LABEL = 13


def row(label: str, *cells: str) -> str:
    first, *rest = cells
    text = f"  {label:<{LABEL}}{first:<18}" if rest else f"  {label:<{LABEL}}{first}"
    return text + "  ".join(rest)


def wrapped(label: str, text: str) -> list[str]:
    """A row whose text goes on below itself where it is too long."""
    width = WIDTH - LABEL - 2
    lines, line = [], ""
    for word in text.split():
        if line and len(line) + 1 + len(word) > width:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}" if line else word
    lines.append(line)
    return [row(label if i == 0 else "", part) for i, part in enumerate(lines)]
