"""What the Jobs view reads: every run, and of them those that its filter keeps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from frugalwatch.ledger.queries import RunRow
from frugalwatch.report.format import percent
from frugalwatch.report.started_with import started_with
from frugalwatch.screen.figures import figures_so_far, read_record, with_energy
from frugalwatch.screen.jobs.all_runs import AllRuns, RunEntry
from frugalwatch.screen.jobs.metric_index import MetricIndex
from frugalwatch.screen.jobs.run_filter import RunFilter, parse_filter
from frugalwatch.screen.reading import Source


@dataclass(frozen=True, slots=True)
class JobsLook:
    """The runs that the filter keeps, of `total`. `said` is what a person should know of it."""

    entries: tuple[RunEntry, ...]
    total: int
    said: str = ""


class JobsReader:
    """Keeps what it read from look to look."""

    def __init__(self) -> None:
        self._runs = AllRuns()
        self._metrics = MetricIndex()
        self._question = ""
        self._kept: dict[int, tuple[RunEntry, bool]] = {}

    def look(self, source: Source, question: str) -> JobsLook:
        """The runs that the filter of these words keeps."""

        def so_far(run: RunRow) -> RunRow:
            return _so_far(source, run)

        entries = self._runs.look(source.connection, so_far, source.utc_ns)
        chosen = parse_filter(question, source.utc_ns() / 1e9)
        said = chosen.problem
        if chosen.needs_metrics and not self._metrics.advance(source.connection):
            said = said or f"reading metrics, {percent(self._metrics.share)} ..."
        if question != self._question or chosen.needs_metrics:
            self._question, self._kept = question, {}
        return JobsLook(tuple(self._filtered(entries, chosen)), len(entries), said)

    def _filtered(self, entries: Sequence[RunEntry], chosen: RunFilter) -> Iterator[RunEntry]:
        """The runs that are kept; of those that did not change since the last look it is known."""
        if not chosen.tests:
            yield from entries
            return
        for entry in entries:
            before = self._kept.get(entry.number)
            if before is None or before[0] is not entry:
                before = (entry, chosen.keeps(entry, self._metrics.of))
                self._kept[entry.number] = before
            if before[1]:
                yield entry


def _so_far(source: Source, run: RunRow) -> RunRow:
    """A run that goes on, with its energy until now."""
    record = read_record(source.connection, run.number)
    if record is None:
        return run
    own = started_with(source.connection, run.run_key, source.settings)
    found = figures_so_far(source.connection, record, *own)
    return with_energy(run, found.measured, found.estimated, found.carbon["co2e_g"])
