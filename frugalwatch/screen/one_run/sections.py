"""The sections of a run's page, in order, as lines of text of a given width.

They are pure functions of records: a test needs no terminal, and an export writes the same lines.
"""

from __future__ import annotations

from dataclasses import dataclass

from rich.text import Text

from frugalwatch.report.format import duration
from frugalwatch.screen.one_run.detail import RunDetail
from frugalwatch.screen.one_run.drawing import axis_line, phase_lines, trace_lines
from frugalwatch.screen.one_run.energy_lines import (
    attribution_lines,
    device_lines,
    phase_table,
    process_lines,
    total_lines,
)
from frugalwatch.screen.one_run.told_lines import (
    about_lines,
    event_lines,
    inside_lines,
    metric_lines,
)
from frugalwatch.screen.records import RunNow
from frugalwatch.screen.symbols import Symbols
from frugalwatch.screen.words import Unit

# Name of each section as its tab shows it.
NAMES = ("Power", "Energy", "Whose", "Phases", "Inside", "Metrics", "Events", "About")


@dataclass(frozen=True, slots=True)
class Look:
    """How the sections are to be drawn. `chart_rows` is the height of the power chart."""

    width: int
    chart_rows: int
    symbols: Symbols
    unit: Unit


def sections(detail: RunDetail, run: RunNow, look: Look) -> list[list[Text]]:
    """The lines of every section, in the order of NAMES; the first of each is its title."""
    document, width, symbols, unit = detail.document, look.width, look.symbols, look.unit
    return [
        _power(detail, run, look),
        [
            _title("Energy, and the devices that used it"),
            *total_lines(document, unit, width),
            Text(""),
            *device_lines(document, unit, width, symbols),
        ],
        [
            _title("Whose energy is it"),
            *attribution_lines(document, unit, width),
            Text(""),
            *process_lines(document, detail.gpu_use, unit, width, symbols),
        ],
        [_title("Phases"), *phase_table(document, unit, width, symbols)],
        inside_lines(document, width),
        [_title("Metrics"), *metric_lines(document, width, symbols)],
        [_title("Events"), *event_lines(document, width)],
        [_title("About this run"), *about_lines(detail, width)],
    ]


def _power(detail: RunDetail, run: RunNow, look: Look) -> list[Text]:
    lines = trace_lines(detail.power_w, run.devices, look.chart_rows, look.symbols)
    lines.append(axis_line(detail.window, detail.whole, look.width))
    lines += phase_lines(detail.spans, detail.window, look.width, look.symbols)
    if detail.spans_left_out:
        lines.append(Text("      more phases than can be drawn: zoom in with +", style="dim"))
    if detail.window != detail.whole:
        shown = duration(detail.window.length / 1e9)
        of = duration(detail.whole.length / 1e9)
        lines.append(Text(f"      {shown} of {of}: - zooms out, 0 shows all", style="dim"))
    return lines


def _title(text: str) -> Text:
    return Text(f" {text}", style="bold")
