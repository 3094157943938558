"""Tables and prose as lines that fit a width."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from rich.text import Text

from frugalwatch.screen.symbols import Symbols

_INDENT = " "
_GAP = "  "


def table_lines(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    width: int,
    right: frozenset[str] = frozenset(),
    optional: Sequence[str] = (),
) -> list[Text]:
    """A table whose first column and whatever else is needed give way to `width`.

    `right` names the columns of figures. Of the `optional` columns the first ones named are left
    out first where there is no room; then the widest column of words is cut.
    """
    names = list(head)
    cells = [list(row) for row in rows]
    for name in optional:
        if _needed(names, cells) <= width:
            break
        place = names.index(name)
        names.pop(place)
        for row in cells:
            row.pop(place)
    sizes = [max(len(row[i]) for row in [names, *cells]) for i in range(len(names))]
    over = len(_INDENT) + sum(sizes) + len(_GAP) * (len(sizes) - 1) - width
    if over > 0:
        words = [i for i, name in enumerate(names) if name not in right]
        widest = max(words or range(len(sizes)), key=sizes.__getitem__)
        sizes[widest] = max(4, sizes[widest] - over)
    lines = []
    for number, row in enumerate([names, *cells]):
        parts = [
            _cut(cell, size).rjust(size) if name in right else _cut(cell, size).ljust(size)
            for cell, size, name in zip(row, sizes, names, strict=True)
        ]
        text = _INDENT + _GAP.join(parts).rstrip()
        lines.append(Text(text, style="dim" if number == 0 else ""))
    return lines


def _needed(names: Sequence[str], cells: Sequence[Sequence[str]]) -> int:
    sizes = [max(len(row[i]) for row in [names, *cells]) for i in range(len(names))]
    return len(_INDENT) + sum(sizes) + len(_GAP) * (len(sizes) - 1)


def _cut(text: str, size: int) -> str:
    return text if len(text) <= size else text[: max(0, size - 2)] + ".."


def prose(text: str, width: int, indent: str = " ", hang: str = "   ") -> list[Text]:
    """Words broken at `width`; what goes on stands further in. A word too long is broken."""
    lines = textwrap.wrap(
        text,
        max(20, width),
        initial_indent=indent,
        subsequent_indent=hang,
        break_on_hyphens=False,
    )
    return [Text(line) for line in lines]


def labelled(label: str, text: str, width: int, label_width: int = 12) -> list[Text]:
    """`host        node7`; what goes on stands below itself."""
    indent = f" {label:<{label_width}} "
    return prose(text, width, indent, " " * len(indent))


def bar(share: float, size: int, symbols: Symbols) -> str:
    """`████░░░░` for a part of 0 to 1; `####....` on a plain terminal."""
    full = round(min(1.0, max(0.0, share)) * size)
    mark, rest = ("#", ".") if symbols == "ascii" else ("█", "░")
    return mark * full + rest * (size - full)
