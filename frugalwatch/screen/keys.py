"""The last line: what can be pressed, or clicked."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content
from textual.widgets import Static

KEYS: tuple[tuple[str, str, str], ...] = (
    ("1", "Live", "app.view('live')"),
    ("2", "Jobs", "app.view('jobs')"),
    ("Enter", "Open", "app.open"),
    ("/", "Filter", "app.filter"),
    ("u", "Units", "app.units"),
    ("Space", "Pause", "app.pause"),
    ("?", "Help", "app.help"),
    ("q", "Quit", "app.quit"),
)


class Keys(Static):
    """As many keys as fit whole into the line, the last one always among them."""

    DEFAULT_CSS = "Keys { height: 1; background: $panel; }"

    def on_resize(self) -> None:
        """Fit the line into the new width."""
        self.update(Content.from_markup(_line(KEYS, self.size.width - 2)))


def _line(keys: Sequence[tuple[str, str, str]], width: int) -> str:
    kept = list(keys)
    while len(kept) > 1 and sum(len(k) + len(name) + 3 for k, name, _ in kept) - 2 > width:
        del kept[-2]
    return " " + "  ".join(f"[@click={action}][b]{key}[/b] {name}[/]" for key, name, action in kept)
