"""The grid factor of a run: the yearly table, or a live source's values weighted by time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from frugalwatch.carbon.grid import GridFactor, resolve_or_world
from frugalwatch.ledger.records import GridIntensity
from frugalwatch.sampler.context import RunContext

if TYPE_CHECKING:  # loaded where a live source is chosen, which is the exception
    from frugalwatch.carbon.live import LiveGrid
    from frugalwatch.carbon.live_value import LiveFailure, LiveValue

# A run that is over before the first answer waits this long for it.
_LAST_WAIT_S = 0.3


class GridWatch:
    """Asks the live source where one is chosen; otherwise does nothing until the end."""

    def __init__(self, context: RunContext) -> None:
        self._context = context
        self._live: LiveGrid | None = None
        self._failure: LiveFailure | None = None
        self._values: list[LiveValue] = []
        self._since_ns: list[int] = []
        self._table: GridFactor | None = None
        if context.plan.settings.live_grid != "off":
            from frugalwatch.carbon.live import LiveGrid

            self._live = LiveGrid(context.plan.settings, context.plan.environment)

    def fileno(self) -> int:
        """The descriptor to wait on, -1 if there is none now."""
        return self._live.fileno() if self._live is not None else -1

    def tend(self) -> GridIntensity | None:
        """Ask when it is time, take an answer when it is there. Never waits."""
        if self._live is None:
            return None
        if self._live.due():
            self._live.start()
        return self._take(self._live.poll())

    def so_far(self, now_ns: int) -> GridFactor:
        """The factor of the run until now: as `finish` would tell it."""
        if self._table is None:
            self._table = resolve_or_world(self._context.plan.settings)[0]
        if not self._values:
            return self._table
        from frugalwatch.carbon.live_value import live_factor

        return live_factor(*self._weights(now_ns, self._table))

    def finish(self, ended_mono_ns: int) -> tuple[GridFactor, list[GridIntensity], str | None]:
        """The run's factor, rows that are new, and a warning if something was not as chosen."""
        table, warning = resolve_or_world(self._context.plan.settings)
        if self._live is None:
            return table, [], warning
        from frugalwatch.carbon.live_value import live_factor, without_live

        rows = []
        if not self._values:
            row = self._take(self._live.wait(_LAST_WAIT_S))
            rows = [row] if row is not None else []
        self._live.close()
        if self._values:
            return live_factor(*self._weights(ended_mono_ns, table)), rows, warning
        failure = self._failure or _no_answer()
        return without_live(table, failure), rows, f"no live grid value: {failure.reason}"

    def _weights(
        self, ended_ns: int, table: GridFactor
    ) -> tuple[list[tuple[LiveValue, float]], GridFactor]:
        """Each value with the seconds for which it was the newest; the first from the beginning."""
        begins = [self._context.start.mono_ns, *self._since_ns[1:]]
        ends = [*self._since_ns[1:], ended_ns]
        weighted = [
            (value, max(0, end - begin) / 1e9)
            for value, begin, end in zip(self._values, begins, ends, strict=True)
        ]
        return weighted, table

    def _take(self, answer: LiveValue | LiveFailure | None) -> GridIntensity | None:
        if answer is None:
            return None
        from frugalwatch.carbon.live_value import LiveFailure

        if isinstance(answer, LiveFailure):
            self._failure = answer
            return None
        self._values.append(answer)
        self._since_ns.append(time.monotonic_ns())
        return GridIntensity(
            zone=answer.zone,
            valid_utc_ns=answer.valid_utc_ns,
            g_per_kwh=answer.g_per_kwh,
            kind=answer.kind,
            source=answer.source,
            estimated=answer.estimated,
            fetched_utc_ns=answer.fetched_utc_ns,
        )


def _no_answer() -> LiveFailure:
    from frugalwatch.carbon.live_value import LiveFailure

    return LiveFailure("the service did not answer before the run was over")
