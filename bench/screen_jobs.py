"""What the Jobs view, a run's page and a comparison ask of a large ledger: their slowest query.

    python bench/screen_jobs.py [--ledger FILE] [--runs 5000]

Without --ledger a ledger of one month (20.7 million samples, 0.8 GB) is made first; a file made by
`bench/ledger_size.py --keep FILE` saves that time, but its samples are thinned. The file is
changed. Every statement is timed with the fetching of its rows, each time with a new connection.
The list is then sorted and filtered with so many runs.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from bench.ledger_size import fill  # noqa: E402
from bench.machine import describe  # noqa: E402
from frugalwatch.carbon.grid import resolve_or_world  # noqa: E402
from frugalwatch.config.settings import Settings  # noqa: E402
from frugalwatch.ledger.connection import open_ledger  # noqa: E402
from frugalwatch.ledger.reading import open_reader  # noqa: E402
from frugalwatch.ledger.totals import store_totals  # noqa: E402
from frugalwatch.report.settle import settle_run  # noqa: E402
from frugalwatch.screen.compare_page import CompareReader  # noqa: E402
from frugalwatch.screen.jobs.all_runs import RunEntry  # noqa: E402
from frugalwatch.screen.jobs.columns import COLUMNS, Order, in_order  # noqa: E402
from frugalwatch.screen.jobs.jobs_reader import JobsReader  # noqa: E402
from frugalwatch.screen.jobs.run_filter import parse_filter  # noqa: E402
from frugalwatch.screen.one_run.detail import RunQuestion, RunReader  # noqa: E402
from frugalwatch.screen.reading import Source  # noqa: E402

BUDGET_MS = 50.0
COLUMNS_OF_120 = 2 * 113


class Answer:
    """Rows that were fetched while the clock ran."""

    def __init__(self, rows: list[Any], description: Any) -> None:
        self._rows, self.description = iter(rows), description

    def __iter__(self) -> Iterator[Any]:
        return self._rows

    def fetchone(self) -> Any:
        return next(self._rows, None)

    def fetchall(self) -> list[Any]:
        return list(self._rows)


class Timed:
    """A connection, or a cursor of it, that notes how long each statement took."""

    def __init__(self, inner: Any, times: list[tuple[float, str]]) -> None:
        object.__setattr__(self, "_inner", inner)
        object.__setattr__(self, "_times", times)

    def execute(self, statement: str, values: Any = ()) -> Answer:
        began = time.perf_counter()
        cursor = self._inner.execute(statement, values)
        rows = cursor.fetchall()
        self._times.append(((time.perf_counter() - began) * 1000, " ".join(statement.split())))
        return Answer(rows, cursor.description)

    def cursor(self) -> Timed:
        return Timed(self._inner.cursor(), self._times)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._inner, name, value)


def ask(name: str, ledger: Path, work: Callable[[Source], object]) -> None:
    """Time all statements of one piece of work, five times with a connection of its own each.

    Printed is the median of the slowest ones: a moment in which another process had the core is no
    property of a query.
    """
    worst, wholes = [], []
    for _ in range(5):
        times: list[tuple[float, str]] = []
        connection: Any = Timed(open_reader(str(ledger)), times)
        began = time.perf_counter()
        work(Source(connection, Settings(), time.time_ns))
        wholes.append((time.perf_counter() - began) * 1000)
        connection.close()
        worst.append(max(times))
    slowest, statement = statistics.median_low(worst)
    verdict = "ok" if slowest <= BUDGET_MS else f"OVER: {statement[:60]}"
    print(
        f"{name:20} {len(times):5} queries  slowest {slowest:6.1f} ms"
        f"  all {statistics.median(wholes):7.1f} ms  {verdict}"
    )


def ui_ms(entries: list[RunEntry]) -> None:
    """What the thread of the terminal does: sort by each column, and filter."""
    for name, work in (
        *((f"sort by {column.name}", _sorting(entries, column.name)) for column in COLUMNS),
        ("filter by words", _filtering(entries, "train -train_3 time>1h")),
    ):
        times = []
        for _ in range(7):
            began = time.perf_counter()
            work()
            times.append((time.perf_counter() - began) * 1000)
        print(f"{name:24} {len(entries):6} runs  {statistics.median(times):6.1f} ms")


def _sorting(entries: list[RunEntry], name: str) -> Callable[[], object]:
    return lambda: in_order(entries, Order(name))


def _filtering(entries: list[RunEntry], words: str) -> Callable[[], object]:
    chosen = parse_filter(words)
    return lambda: [entry for entry in entries if chosen.keeps(entry, lambda _: {})]


def many(entries: tuple[RunEntry, ...], count: int) -> list[RunEntry]:
    """So many runs, made of those that there are."""
    return [
        replace(entries[n % len(entries)], row=replace(entries[n % len(entries)].row, number=n))
        for n in range(count)
    ]


def prepare(ledger: Path) -> int:
    """Give the last two runs whole objects, and let the one before go on. The last run's number."""
    connection = open_ledger(str(ledger), create=False)
    rows = connection.execute("SELECT id, run_key FROM run ORDER BY id DESC LIMIT 3").fetchall()
    factor, _ = resolve_or_world(Settings())
    for number, key in rows[:2]:
        store_totals(connection, number, settle_run(connection, key, factor, Settings())[1])
    connection.execute("UPDATE run SET state = 'running' WHERE id = ?", (rows[2][0],))
    connection.close()
    number: int = rows[0][0]
    return number


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--ledger", metavar="FILE", type=Path)
    options.add_argument("--runs", type=int, default=5000)
    chosen = options.parse_args()
    print(describe(simulated_rapl=False))
    with tempfile.TemporaryDirectory(prefix="frugalwatch-bench-") as folder:
        ledger = chosen.ledger
        if ledger is None:
            ledger = Path(folder) / "ledger.db"
            fill(ledger, 30)
        last = prepare(ledger)
        found: list[RunEntry] = []
        ask("all runs", ledger, lambda s: found.extend(JobsReader().look(s, "").entries))
        ask("page of one run", ledger, lambda s: RunReader().look(s, _question(last)))
        ask("page, run goes on", ledger, lambda s: RunReader().look(s, _question(last - 2)))
        pair = ((last - 1, "A"), (last, "B"))
        ask("comparison of two", ledger, lambda s: CompareReader().look(s, pair))
        ui_ms(many(tuple(found), chosen.runs))


def _question(number: int) -> RunQuestion:
    return RunQuestion(number, None, COLUMNS_OF_120)


if __name__ == "__main__":
    main()
