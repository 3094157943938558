"""The devices of the chosen run: power now, share of its limit, energy, how it is known."""

from __future__ import annotations

from rich.text import Text
from textual.widgets import Static

from frugalwatch.report.format import percent
from frugalwatch.screen.palette import colours
from frugalwatch.screen.records import DeviceNow, RunNow
from frugalwatch.screen.words import LETTERS, Unit, energy_text, ordered, origin_text, watts

_NAME = 22
_WIDE = 110
_HEAD = ("of limit", "Energy", "How known", "Source")


class DeviceTable(Static):
    """One line a device, at most `most`; the rest is counted in the last line."""

    DEFAULT_CSS = "DeviceTable { height: auto; }"

    def __init__(self) -> None:
        super().__init__(id="devices")
        self._height = 0

    def show_run(self, run: RunNow | None, unit: Unit, most: int) -> None:
        """Write the table for this run; nothing without one."""
        if run is None:
            self.update("")
            self._height = 0
            return
        devices = ordered(run.devices)
        wide = self.app.size.width >= _WIDE
        text = Text(no_wrap=True, overflow="ellipsis")
        text.append(_line(("Device", "Power" if run.is_running else "Mean", *_HEAD), wide=wide))
        text.stylize("bold")
        counted = [device for device in devices if device.counted]
        hues = dict(zip((d.key for d in counted), colours(counted), strict=True))
        shown = devices if len(devices) <= most else devices[: most - 1]
        for device in shown:
            text.append("\n")
            _append(text, device, run, unit, hues.get(device.key), wide=wide)
        if len(shown) < len(devices):
            text.append(f"\n   and {len(devices) - len(shown)} more: press Enter", style="dim")
        if not devices:
            text.append("\n   no sensor here, and no model: frugalwatch doctor says why")
        # Laying the screen out anew costs more than all else; only a further line needs it.
        height = text.plain.count("\n")
        self.update(text, layout=height != self._height)
        self._height = height


def _append(
    text: Text, device: DeviceNow, run: RunNow, unit: Unit, hue: str | None, *, wide: bool
) -> None:
    letter = LETTERS.get(device.domain, "O") if device.counted else " "
    text.append(f" {letter}", style=f"bold {hue}" if hue else "")
    power_w = device.power_w if run.is_running else device.mean_w(run.row.duration_s)
    cells = (
        device.name or device.key,
        watts(power_w, modelled=device.is_modelled),
        _of_limit(power_w, device.power_limit_w),
        energy_text(device.energy, unit, modelled=device.is_modelled),
        device.silent or _known(device),
        "" if device.silent else device.source,
    )
    text.append(_line(cells, wide=wide)[2:], style="" if device.counted else "dim")


def _line(cells: tuple[str, str, str, str, str, str], *, wide: bool) -> str:
    """Name, power, part of the limit, energy, how known, and the source where there is room."""
    name, power, limit, energy, known, source = cells
    line = f"   {name[: _NAME - 1]:<{_NAME}}{power:>9}  {limit:>8}  {energy:>10}   "
    return f"{line}{known[:27]:<28}{source[:32]}" if wide else line + known[:21]


def _of_limit(power_w: float | None, limit_w: float | None) -> str:
    if power_w is None or not limit_w:
        return ""
    return percent(min(1.0, power_w / limit_w))


def _known(device: DeviceNow) -> str:
    known = origin_text(device)
    return known if device.counted else f"{known}, not in sum"
