"""What the Jobs view reads: every run, and of them those that its filter keeps."""

from __future__ import annotations

from dataclasses import dataclass

from frugalwatch.ledger.queries import RunRow
from frugalwatch.report.format import percent
from frugalwatch.report.started_with import started_with
from frugalwatch.screen.figures import figures_so_far, read_record, with_energy
from frugalwatch.screen.jobs.all_runs import AllRuns, RunEntry
from frugalwatch.screen.jobs.metric_index import MetricIndex
from frugalwatch.screen.jobs.run_filter import parse_filter
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

    def look(self, source: Source, question: str) -> JobsLook:
        """The runs that the filter of these words keeps."""

        def so_far(run: RunRow) -> RunRow:
            return _so_far(source, run)

        entries = self._runs.look(source.connection, so_far, source.utc_ns)
        chosen = parse_filter(question, source.utc_ns() / 1e9)
        said = chosen.problem
        if chosen.needs_metrics and not self._metrics.advance(source.connection):
            said = said or f"reading metrics, {percent(self._metrics.share)} ..."
        kept = tuple(e for e in entries if chosen.keeps(e, self._metrics.of))
        return JobsLook(kept, len(entries), said)


def _so_far(source: Source, run: RunRow) -> RunRow:
    """A run that goes on, with its energy until now."""
    record = read_record(source.connection, run.number)
    if record is None:
        return run
    own = started_with(source.connection, run.run_key, source.settings)
    found = figures_so_far(source.connection, record, *own)
    return with_energy(run, found.measured, found.estimated, found.carbon["co2e_g"])
