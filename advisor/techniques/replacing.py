"""Two replacements of one module at once: the one that arranges batches around the other."""

from __future__ import annotations

from collections.abc import Mapping


def replaced_by_both(
    first: Mapping[str, object], second: Mapping[str, object]
) -> dict[str, object]:
    """The value of the switch `replace` that does both.

    A replacement marked `outer` takes another one as its option `inner`. Of two that both run the
    model, or are for modules of different classes, the second wins.
    """
    outer, inner = (first, second) if first.get("outer") else (second, first)
    classes = {str(each["class"]) for each in (outer, inner) if each.get("class")}
    if not outer.get("outer") or inner.get("outer") or len(classes) > 1:
        return dict(second)
    nested = {key: inner[key] for key in ("factory", "options") if key in inner}
    options = outer.get("options")
    options = {**options, "inner": nested} if isinstance(options, Mapping) else {"inner": nested}
    found: dict[str, object] = {**outer, "options": options}
    return {**found, "class": classes.pop()} if classes else found
