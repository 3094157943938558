"""Tables of `show`: columns as wide as what is in them, cells cut where they would not end."""

from __future__ import annotations

from collections.abc import Sequence

_CELL = 28


def table(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    right: frozenset[int],
    widest: int = _CELL,
) -> list[str]:
    """The lines of a table, the heading first; columns in `right` are flush right."""
    if not rows:
        return []
    rows = [[cut(cell, widest) for cell in row] for row in rows]
    widths = [max(len(r[i]) for r in [head, *rows]) for i in range(len(head))]
    return [
        "  ".join(
            cell.rjust(widths[i]) if i in right else cell.ljust(widths[i])
            for i, cell in enumerate(row)
        )
        for row in [head, *rows]
    ]


def cut(text: str, widest: int = _CELL) -> str:
    """A table's cell in so many columns at most; the JSON has all of it."""
    return text if len(text) <= widest else f"{text[: widest - 2]}.."
