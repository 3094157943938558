"""What the command palette offers: everything that has a key here, and the themes."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from textual.app import App, SystemCommand

from frugalwatch.screen.help import bindings_of, meaning
from frugalwatch.screen.keys import key_name
from frugalwatch.screen.themes import THEMES
from frugalwatch.screen.view import Surface


def palette_commands(app: App[None], surface: Surface) -> Iterable[SystemCommand]:
    """One command for each binding of what is open, then one for each theme."""
    seen: set[str] = set()
    for binding in (*bindings_of(type(surface)), *bindings_of(type(app))):
        is_view = binding.action.startswith("view(")
        title = f"Open {binding.description}" if is_view else binding.description
        if title in seen or title == "Move" or binding.action == "command_palette":
            continue
        seen.add(title)
        what = meaning(binding)
        about = "" if is_view or what == title else f"{what}; "
        yield SystemCommand(
            title, f"{about}key {key_name(binding)}", partial(app.simulate_key, binding.key)
        )
    for theme in THEMES:
        change = partial(setattr, app, "theme", theme.name)
        yield SystemCommand(f"Theme {theme.name}", "Colours of the screen", change)
