"""The devices of the chosen run: power, share of its limit, energy, peak, what it is like, and how
all that is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rich.text import Text
from textual.widgets import Static

from frugalwatch.screen.live_words import clock_text, peak_text, share_text, temperature_text
from frugalwatch.screen.palette import colours
from frugalwatch.screen.progress import bar
from frugalwatch.screen.records import DeviceNow, RunNow
from frugalwatch.screen.symbols import Symbols
from frugalwatch.screen.words import LETTERS, Unit, energy_text, ordered, origin_text, watts

_NARROW, _WIDE = 80, 110
_LEFT_OUT = frozenset({"Peak", "Clock", "Temp"})  # on less than 80 columns
_BAR = 8
_VENDORS = ("NVIDIA GeForce ", "NVIDIA ", "AMD Radeon ", "AMD ", "Intel(R) ")


class _Column(NamedTuple):
    """A column: its title, its width with the space before it, and whether figures stand in it."""

    title: str
    width: int
    figure: bool = True


# The letter of the device takes three columns before these; the last one takes what is left.
_LETTER = 3
_NARROW_COLUMNS = (
    _Column("Device", 15, False),
    _Column("Power", 8),
    _Column("Limit", 6),
    _Column("Energy", 10),
    _Column("Peak", 8),
    _Column("Clock", 9),
    _Column("Temp", 6),
    _Column("  Known as", 13, False),
)
_WIDE_COLUMNS = (
    _Column("Device", 24, False),
    _Column("Power", 8),
    _Column("of limit", 15),
    _Column("Energy", 10),
    _Column("Peak", 9),
    _Column("Clock", 9),
    _Column("Temp", 7),
    _Column("Busy", 6),
    _Column("Fan", 6),
    _Column("  Known as", 20, False),
)


class DeviceTable(Static):
    """One line a device, at most `most`; the rest is counted in the last line."""

    DEFAULT_CSS = "DeviceTable { height: auto; }"

    def __init__(self, symbols: Symbols = "braille") -> None:
        super().__init__(id="devices")
        self._symbols = symbols
        self._height = 0
        self._shown = Text()

    def show_run(self, run: RunNow | None, unit: Unit, most: int) -> None:
        """Write the table for this run; nothing without one."""
        text = Text() if run is None else self._table(run, unit, most)
        if text == self._shown:
            return
        self._shown = text
        self.update(text, layout=False)
        # Laying the screen out anew costs more than all else; only a further line needs it. Its
        # own idea of the height would go by how a line that was made for another width wraps.
        height = text.plain.count("\n") + 1 if text else 0
        if height != self._height:
            self._height = height
            self.styles.height = height

    def _table(self, run: RunNow, unit: Unit, most: int) -> Text:
        columns = _columns(self.app.size.width, run)
        titles = [column.title for column in columns]
        if not run.is_running:
            titles[1] = "Mean"
        text = Text(no_wrap=True, overflow="ellipsis")
        text.append("   " + _line(titles, columns), style="bold")
        devices = ordered(run.devices)
        counted = [device for device in devices if device.counted]
        hues = dict(zip((d.key for d in counted), colours(counted), strict=True))
        names = _names(run.devices)
        shown = devices if len(devices) <= most else _most_urgent(devices, most - 1)
        for device in shown:
            letter = LETTERS.get(device.domain, "O") if device.counted else " "
            hue = hues.get(device.key)
            text.append(f"\n {letter} ", style=f"bold {hue}" if hue else "")
            name = _whole_words(names[device.key], columns[0].width - 1)
            cells = [name, *self._cells(device, run, unit, columns)]
            text.append(_line(cells, columns), style="" if device.counted else "dim")
        if len(shown) < len(devices):
            text.append(f"\n   and {len(devices) - len(shown)} more: press Enter", style="dim")
        if not devices:
            text.append("\n   no sensor here, and no model: frugalwatch doctor says why")
        return text

    def _cells(
        self, device: DeviceNow, run: RunNow, unit: Unit, columns: tuple[_Column, ...]
    ) -> list[str]:
        power_w = device.power_w if run.is_running else device.mean_w(run.row.duration_s)
        share = None
        if power_w is not None and device.power_limit_w:
            share = min(1.0, power_w / device.power_limit_w)
        titles = {column.title for column in columns}
        cells = [
            watts(power_w, modelled=device.is_modelled),
            self._of_limit(share, wide="of limit" in titles),
            energy_text(device.energy, unit, modelled=device.is_modelled),
        ]
        if "Peak" in titles:
            cells.append(peak_text(device))
        if device.silent:
            return [*cells, f"  {device.silent}"]
        seen = device.condition
        degree = "C" if self._symbols == "ascii" else "°C"
        more = {
            "Clock": clock_text(device),
            "Temp": temperature_text(device, degree),
            "Busy": share_text(seen.busy_share if seen else None),
            "Fan": share_text(seen.fan_share if seen else None),
        }
        cells += [text for title, text in more.items() if title in titles]
        return [*cells, f"  {_known(device, columns[-1].width - 3)}"]

    def _of_limit(self, share: float | None, *, wide: bool) -> str:
        if share is None or not wide:
            return share_text(share)
        return f"{bar(share, _BAR, self._symbols)}{share_text(share):>6}"


def _line(cells: list[str], columns: tuple[_Column, ...]) -> str:
    """Cells in their columns. A row that ends early (a silent device) has what is left of it."""
    parts = []
    for place, (cell, column) in enumerate(zip(cells, columns, strict=False)):
        width = column.width
        if place == len(cells) - 1:
            width = sum(one.width for one in columns[place:])
        if column.figure and place < len(cells) - 1:
            parts.append(f"{cell[: width - 1]:>{width}}")
        else:
            parts.append(f"{cell[: width - 1]:<{width}}")
    return "".join(parts).rstrip()


def _columns(width: int, run: RunNow) -> tuple[_Column, ...]:
    """The columns for a screen of that width; fans and use only where a device tells them."""
    columns: tuple[_Column, ...] = _WIDE_COLUMNS if width >= _WIDE else _NARROW_COLUMNS
    if width < _NARROW:
        columns = tuple(column for column in columns if column.title not in _LEFT_OUT)
    told = [device.condition for device in run.devices if device.condition is not None]
    empty = set()
    if all(seen.fan_share is None for seen in told):
        empty.add("Fan")
    if all(seen.busy_share is None for seen in told):
        empty.add("Busy")
    columns = tuple(column for column in columns if column.title not in empty)
    left = width - 1 - _LETTER - sum(column.width for column in columns[:-1])
    return (*columns[:-1], columns[-1]._replace(width=max(columns[-1].width, left)))


def _most_urgent(devices: Sequence[DeviceNow], most: int) -> list[DeviceNow]:
    """So many of the devices, in their order: what gives no figure must not be left out."""
    ranked = sorted(devices, key=lambda device: device.silent is None)
    kept = {device.key for device in ranked[:most]}
    return [device for device in devices if device.key in kept]


def _names(devices: Sequence[DeviceNow]) -> dict[str, str]:
    """What each device is called: without its vendor, and numbered where several are called so.

    The numbers follow the driver's order when the run began.
    """
    plain = {device.key: _without_vendor(device.name or device.key) for device in devices}
    names: dict[str, str] = {}
    seen: dict[str, int] = {}
    for key, name in plain.items():
        twins = sum(1 for other in plain.values() if other == name)
        number = seen[name] = seen.get(name, -1) + 1
        names[key] = f"{number} {name}" if twins > 1 else name
    return names


def _without_vendor(name: str) -> str:
    for vendor in _VENDORS:
        if name.startswith(vendor) and len(name) > len(vendor):
            return name[len(vendor) :]
    return name


def _whole_words(name: str, width: int) -> str:
    """As many of its words as fit; a first word that does not is cut."""
    words = name.split()
    while len(words) > 1 and len(" ".join(words)) > width:
        words.pop()
    return " ".join(words)[:width]


def _known(device: DeviceNow, width: int) -> str:
    """How its figures are known, with the source where that fits whole.

    In brackets: the device is inside another one's figure, and not in the sum.
    """
    known = origin_text(device)
    texts = (f"{known}, {device.source}" if device.source else known, known)
    if not device.counted:
        texts = (f"{known}, not in sum", f"({known})")
    return next((text for text in texts if len(text) <= width), texts[-1])
