"""`top --plain`: one line a look, for logs and screen readers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from frugalwatch.report.format import duration
from frugalwatch.screen.live_words import energy_at_end, progress_text, time_left
from frugalwatch.screen.reading import LedgerWatch
from frugalwatch.screen.records import Look, RunNow
from frugalwatch.screen.words import (
    LETTERS,
    Unit,
    carbon_text,
    cost_text,
    coverage_text,
    energy_so_far,
    grid_text,
    ordered,
    power_now,
    run_state,
    steps_text,
    watts,
)

_INTERVAL_S = 1.0


def plain_line(run: RunNow, now_utc_s: float, unit: Unit = "Wh") -> str:
    """One run in one line, parted by commas; it makes sense when it is read aloud."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now_utc_s))
    parts = [
        f"run {run.row.number} {run_state(run)}",
        duration(run.row.duration_s),
        f"power {power_now(run)}" if run.is_running else "",
        f"energy {energy_so_far(run, unit)}",
        carbon_text(run),
        cost_text(run),
        f"grid {grid_text(run)}",
        coverage_text(run),
        steps_text(run.steps),
        *_heading(run, unit),
        *_devices(run),
        *run.notices,
    ]
    return f"{stamp} {', '.join(part for part in parts if part)}"


def _heading(run: RunNow, unit: Unit) -> list[str]:
    heading = run.projection
    if heading is None:
        return []
    texts = (progress_text(heading), energy_at_end(heading, unit), time_left(heading))
    return [text for text in texts if text]


def _devices(run: RunNow) -> list[str]:
    shown = [d for d in ordered(run.devices) if d.counted and (d.power_w is not None or d.silent)]
    if len(shown) < 2:
        return []
    return [
        f"{LETTERS.get(d.domain, 'O')} {d.key}"
        f" {d.silent or watts(d.power_w, modelled=d.is_modelled)}"
        for d in shown
    ]


class PlainTop:
    """Lines about one run until it ends, and one about its end.

    Without a run that goes on it waits for one. `say` gets what is no data: that it waits, that
    the ledger cannot be read. Each is said once.
    """

    def __init__(
        self,
        watch: LedgerWatch,
        say: Callable[[str], None],
        *,
        number: int | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._watch = watch
        self._say = say
        self._number = number
        self._sleep = sleep
        self._said = ""

    def once(self) -> str | None:
        """The line of the run that goes on, else of the last one; None if there is none."""
        look = self._watch.look(self._number, limit=1)
        if look.run is None:
            self._explain(look)
            return None
        return plain_line(look.run, time.time())

    def lines(self) -> Iterator[str]:
        """A line a second, until the run ends."""
        due = time.monotonic()
        while True:
            look = self._watch.look(self._number, limit=1)
            run = look.run
            if run is not None and (self._number is not None or run.is_running):
                self._number = run.row.number
                self._said = ""
                yield plain_line(run, time.time())
                if not run.is_running:
                    return
            else:
                self._explain(look)
            due = max(due + _INTERVAL_S, time.monotonic())
            self._sleep(due - time.monotonic())

    def _explain(self, look: Look) -> None:
        if look.trouble is not None:
            hint = f"\nhint: {look.trouble.hint}" if look.trouble.hint else ""
            text = f"{look.trouble.message}; trying again{hint}"
        else:
            text = "no run goes on; waiting for one"
        if text != self._said:
            self._said = text
            self._say(text)
