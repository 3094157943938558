"""The page of help: the keys of what is open, from its bindings, and what the marks mean."""

from __future__ import annotations

from collections.abc import Iterable

from textual.binding import Binding
from textual.dom import DOMNode

from frugalwatch.screen.keys import name_of
from frugalwatch.screen.view import Surface

MARKS = """\
 ~   a model's figure: not measured, and not part of the measured sum
 +   modelled energy stands beside the measured energy
 -   unknown. 0 is a measured zero

 from power   integrated from a sensor that shows watts
 assumed      no zone is set: the world's average, bounds over its grids
 covered      part of the run's time for which its sensors were read"""

_WIDTH = 36


def help_text(surface: type[Surface], program: type[DOMNode]) -> str:
    """What the keys do here and everywhere, and what is to be read on the screen."""
    here = bindings_of(surface)
    own = {binding.key for binding in here}
    everywhere = [binding for binding in bindings_of(program) if binding.key not in own]
    lines = [" This shows what the ledger knows and never touches a job: close it, open it.", ""]
    for title, bindings in ((surface.LABEL, here), ("Everywhere", everywhere)):
        if bindings:
            lines += [f" {title}", *key_lines(bindings), ""]
    if surface.HELP:
        lines += [surface.HELP, ""]
    return "\n".join([*lines, MARKS]) + "\n"


def bindings_of(owner: type[DOMNode]) -> list[Binding]:
    """The keys that a class of ours has, and those of the lists in it, each key by itself."""
    classes: list[type] = [c for c in owner.__mro__ if c.__module__.startswith("frugalwatch.")]
    if issubclass(owner, Surface):
        for part in owner.LISTS:
            classes += [c for c in part.__mro__ if c.__module__.startswith("frugalwatch.")]
    found: dict[str, Binding] = {}
    for one in classes:
        for binding in Binding.make_bindings(one.__dict__.get("BINDINGS", ())):
            found.setdefault(binding.key, binding)
    return list(found.values())


def meaning(binding: Binding) -> str:
    """What a key does, in the words of help and documentation."""
    return binding.tooltip or binding.description


def key_lines(bindings: Iterable[Binding]) -> list[str]:
    """One line a meaning, with all of its keys."""
    keys: dict[str, list[str]] = {}
    for binding in bindings:
        keys.setdefault(meaning(binding), []).append(name_of(binding.key))
    return [f"   {' '.join(names):<{_WIDTH}}{what}" for what, names in keys.items()]
