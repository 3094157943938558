"""The last line: what can be pressed, or clicked. It is made from the bindings that are active."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from textual import events
from textual.binding import Binding
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

_NAMES = {
    "question_mark": "?",
    "slash": "/",
    "space": "Space",
    "enter": "Enter",
    "escape": "Esc",
    "up": "Up",
    "down": "Down",
    "left": "Left",
    "right": "Right",
    "pageup": "PgUp",
    "pagedown": "PgDn",
    "home": "Home",
    "end": "End",
    "backspace": "Backspace",
    "tab": "Tab",
    "shift+tab": "Shift-Tab",
    "less_than_sign": "<",
    "greater_than_sign": ">",
    "plus": "+",
    "minus": "-",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "full_stop": ".",
    "comma": ",",
    "equals_sign": "=",
}


class Key(NamedTuple):
    """One entry of the line."""

    key: str  # as Textual names it
    shown: str
    label: str
    is_view: bool
    is_open: bool

    @property
    def width(self) -> int:
        """Columns that it takes."""
        return len(self.shown) + 1 + len(self.label)


def key_name(binding: Binding) -> str:
    """How a key is written: `?`, `Space`, `Ctrl-C`."""
    if binding.key_display:
        return binding.key_display
    return name_of(binding.key)


def name_of(key: str) -> str:
    """How a key is written, by Textual's name for it."""
    if key.startswith("ctrl+"):
        return f"Ctrl-{key[5:].upper()}"
    return _NAMES.get(key, key)


class Keys(Static):
    """As many keys as fit whole into the line; help and quit are always among them."""

    DEFAULT_CSS = "Keys { height: 1; background: $panel; }"

    def __init__(self) -> None:
        super().__init__(id="keys")
        self._open = ""
        self._line = Content("")

    def on_mount(self) -> None:
        """Follow what can be pressed."""
        self.screen.bindings_updated_signal.subscribe(self, self._changed)
        self.write()

    def on_resize(self, event: events.Resize) -> None:
        """Fit the line into the new width."""
        del event
        self.write()

    def mark_open(self, view: str) -> None:
        """Mark the key of the view that is open."""
        self._open = view
        self.write()

    def write(self) -> None:
        """Write the line anew."""
        keys = shown_keys(_bindings(self.screen), self._open)
        line = Content.from_markup(_markup(fitting_keys(keys, self.app.size.width - 2)))
        if line != self._line or line.markup != self._line.markup:
            self._line = line
            self.update(line, layout=False)

    def _changed(self, screen: Screen[object]) -> None:
        if screen is self.screen and self.is_mounted:
            self.write()


def _bindings(screen: Screen[object]) -> list[Binding]:
    """What is bound: the innermost widget's first, the program's last."""
    return [active.binding for active in screen.active_bindings.values() if active.enabled]


def shown_keys(bindings: Iterable[Binding], open_view: str) -> list[Key]:
    """The keys for the line: views first, then the open view's own, help and quit last."""
    found: dict[str, Key] = {}
    for binding in bindings:
        if binding.show and binding.action not in found:
            view = binding.action.removeprefix("view('").removesuffix("')")
            found[binding.action] = Key(
                binding.key,
                key_name(binding),
                binding.description,
                binding.action.startswith("view("),
                view == open_view,
            )
    return sorted(found.values(), key=lambda key: (not key.is_view, key.key == "q"))


def fitting_keys(keys: Sequence[Key], width: int) -> list[Key]:
    """Drop the last ones that can be missed until the line fits; `?` and `q` never."""
    kept = list(keys)
    while line_width(kept) > width:
        spare = [key for key in kept if key.key not in ("question_mark", "q", "escape")]
        # A narrow terminal keeps what belongs to the open view before the names of others.
        own = [key for key in spare if not key.is_view]
        if not spare:
            break
        kept.remove((own or spare)[-1])
    return kept


def line_width(keys: Sequence[Key]) -> int:
    """Columns of the line: views stand one column apart, other keys two."""
    gaps = sum(1 if key.is_view else 2 for key in keys)
    return sum(key.width for key in keys) + gaps


def _markup(keys: Sequence[Key]) -> str:
    text = " "
    for key in keys:
        name = _escaped(key.shown)
        words = f"[b]{name}[/b] {_escaped(key.label)}"
        if key.is_open:
            words = f"[reverse]{words}[/reverse]"
        text += f"[@click=app.press('{key.key}')]{words}[/]" + (" " if key.is_view else "  ")
    return text.rstrip()


def _escaped(text: str) -> str:
    return text.replace("[", "\\[")


def by_action(bindings: Mapping[str, Binding]) -> dict[str, list[Binding]]:
    """Bindings gathered by what they do, so that `j` and `Down` are one line of help."""
    found: dict[str, list[Binding]] = {}
    for binding in bindings.values():
        found.setdefault(binding.action, []).append(binding)
    return found
