"""The flame graph: every function as wide as the energy used in it and in what it calls.

Drawn here and not in the browser, so that the picture is there without JavaScript too. The root is
on top and time does not run along the width: stacks of one function lie side by side, sorted.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from colorsys import hls_to_rgb
from dataclasses import dataclass, field
from html import escape

from frugalwatch.profile.packages import OWN, STDLIB, Packages, short_place
from frugalwatch.profile.recorded import Frame
from frugalwatch.profile.tree import Amount, Node

WIDTH = 1200.0
_ROW = 18
# Narrower than this part of the whole, a box is no box.
_NARROWEST = 0.0004
# Between an import and what is imported stand six frames of Python's own, and between a call of a
# torch module and its forward two or three of torch's, more in the calls that were watched.
_IMPORTING = "<frozen importlib."
_CALLING = "/torch/nn/modules/module.py"
_CHARACTER = 6.6  # width of one at 11 px monospace
_NAMED_HUES = {OWN: 28, STDLIB: 215, "torch": 12, "numpy": 190, "pandas": 265, "": 0}


@dataclass(slots=True)
class Box:
    """A function in one place of the graph; `weight` is what the width shows."""

    function: str
    filename: str
    first_line: int
    package: str
    weight: float = 0.0
    children: dict[tuple[str, str, int], Box] = field(default_factory=dict)

    @property
    def place(self) -> str:
        at = f":{self.first_line}" if self.first_line else ""
        return short_place(self.filename) + at if self.filename else ""


def boxes(root: Node, packages: Packages, weigh: Callable[[Amount], float]) -> Box:
    """The tree by function instead of by line, each with the weight of all below it."""
    top = Box("all", "", 0, "")
    for stack in root.walk():
        weight = weigh(stack[-1].own)
        if weight <= 0:
            continue
        box = top
        box.weight += weight
        for node in stack[1:]:
            frame = node.frame
            if frame.filename.startswith(_IMPORTING) or frame.filename.endswith(_CALLING):
                continue
            key = (frame.filename, frame.function, frame.first_line)
            child = box.children.get(key)
            if child is None:
                package = packages.of_file(frame.filename) if frame.filename else ""
                child = box.children[key] = Box(
                    _name(frame), frame.filename, frame.first_line, package
                )
            child.weight += weight
            box = child
    return _without_lone_thread(top)


def _name(frame: Frame) -> str:
    """A module that is being imported goes by its file."""
    return short_place(frame.filename) if frame.function == "<module>" else frame.function


def _without_lone_thread(top: Box) -> Box:
    """Where one thread did all, a row with its name says nothing."""
    threads = [box for box in top.children.values() if box.children]
    if len(threads) != 1:
        return top
    thread = threads[0]
    top.children = {
        **{key: box for key, box in top.children.items() if box is not thread},
        **thread.children,
    }
    return top


@dataclass(frozen=True, slots=True)
class Placed:
    """A box with its place: `left` and `width` are parts of the whole, `level` 0 is on top."""

    box: Box
    level: int
    left: float
    width: float


def placed(top: Box) -> list[Placed]:
    """Every box that is wide enough to see."""
    result: list[Placed] = []
    waiting = [Placed(top, 0, 0.0, 1.0)]
    while waiting:
        here = waiting.pop()
        result.append(here)
        left = here.left
        for child in sorted(here.box.children.values(), key=lambda b: (-b.weight, b.function)):
            width = child.weight / top.weight
            if width >= _NARROWEST:
                waiting.append(Placed(child, here.level + 1, left, width))
            left += width
    return result


def svg(
    top: Box, describe: Callable[[Box], str], *, standalone: bool, title: str = "Flame graph"
) -> str:
    """The graph as SVG; `describe` gives each box's tooltip. Inline, the page styles it."""
    shown = placed(top) if top.weight > 0 else []
    height = (max((p.level for p in shown), default=0) + 1) * _ROW
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:g} {height}"'
        f' class="flame" role="img" aria-label="{escape(title, quote=True)}"'
        ' font-family="ui-monospace,Menlo,Consolas,monospace" font-size="11">'
    )
    parts = [head]
    if standalone:
        parts.append(f"<title>{escape(title)}</title>")
        parts.append(f'<rect width="{WIDTH:g}" height="{height}" fill="#fff"/>')
    parts += [_drawn(p, describe(p.box)) for p in shown]
    parts.append("</svg>\n")
    return "\n".join(parts)


def _drawn(here: Placed, description: str) -> str:
    box = here.box
    x, width, y = here.left * WIDTH, here.width * WIDTH, here.level * _ROW
    label = _fitted(box.function, width)
    text = (
        f'<text x="{x + 3:.2f}" y="{y + 13}" fill="#111">{escape(label)}</text>'
        if label
        else '<text fill="#111"></text>'
    )
    return (
        f'<g data-x="{here.left:.6f}" data-w="{here.width:.6f}"'
        f' data-n="{escape(box.function, quote=True)}" data-l="{here.level}">'
        f"<title>{escape(description)}</title>"
        f'<rect x="{x:.2f}" y="{y}" width="{max(0.2, width - 0.4):.2f}" height="{_ROW - 1}"'
        f' rx="1.5" fill="{colour(box.package)}"/>{text}</g>'
    )


def _fitted(name: str, width: float) -> str:
    """The name, or as much of it as fits."""
    room = int((width - 6) / _CHARACTER)
    if len(name) <= room:
        return name
    return f"{name[: room - 2]}.." if room >= 5 else ""


def colour(package: str) -> str:
    """A light colour for each package, the same in every graph."""
    if not package:
        return "#d1d1d1"
    hue = _NAMED_HUES.get(package, zlib.crc32(package.encode()) % 360)
    rgb = hls_to_rgb(hue / 360, 0.76, 0.7)
    return "#" + "".join(f"{round(255 * part):02x}" for part in rgb)
