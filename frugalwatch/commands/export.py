"""`frugalwatch export`: runs as JSON or CSV, for other programs."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

import click

from frugalwatch.commands.run_argument import NamesRuns
from frugalwatch.config.load import load
from frugalwatch.errors import FrugalWatchError, UsageError
from frugalwatch.ledger.queries import RunRow, find_run, list_runs, stored_result

if TYPE_CHECKING:
    from sqlite_utils.db import Database

_SAMPLES = """
SELECT s.run_id AS run, run.run_key, device.key AS device, device.domain, s.origin,
       (x.t_mono_ns - run.started_mono_ns) / 1e9 AS t_s,
       x.energy_uj / 1e6 AS energy_j,
       coalesce(x.low_uj, x.energy_uj) / 1e6 AS low_j,
       coalesce(x.high_uj, x.energy_uj) / 1e6 AS high_j,
       x.power_mw / 1e3 AS power_w
FROM stream s JOIN run ON run.id = s.run_id JOIN device ON device.id = s.device_id
JOIN sample x ON x.stream_id = s.id
WHERE s.run_id = ? ORDER BY x.t_mono_ns, device.key
"""


@click.command(cls=NamesRuns)
@click.argument("runs", metavar="[RUN]...", nargs=-1)
@click.option(
    "--format", "format_", type=click.Choice(["json", "csv"]), default="json", show_default=True
)
@click.option("--samples", is_flag=True, help="With every sample: cumulative joules by device.")
@click.option("--phases", is_flag=True, help="CSV with a row a phase and activity.")
@click.option("--units", is_flag=True, help="CSV with a row a unit: step, sample, request, ...")
@click.option("--advice", is_flag=True, help="Stored advice instead of runs.")
@click.option("--codecarbon", is_flag=True, help="CSV with the columns of emissions.csv.")
@click.option("-o", "--output", metavar="FILE", help="Write there instead of to stdout.")
@click.option("--ledger", metavar="FILE", help="Look into this database.")
def command(
    *,
    runs: tuple[str, ...],
    format_: str,
    samples: bool,
    phases: bool,
    units: bool,
    advice: bool,
    codecarbon: bool,
    output: str | None,
    ledger: str | None,
) -> None:
    """Write runs as JSON or CSV: those named, or all.

    \b
    frugalwatch export > runs.json             every run object, in one array
    frugalwatch export --format csv            one row a run, in J, g and seconds
    frugalwatch export last --samples --format csv -o samples.csv
    frugalwatch export --units -o units.csv    what each step or request cost
    frugalwatch export --codecarbon -o emissions.csv
    frugalwatch export --advice > advice.json  with verifications and uses

    RUN is as for `frugalwatch show`. Joules of samples are cumulative from the run's first one.
    """
    from frugalwatch.ledger.current import open_database

    if advice and (runs or samples or phases or units or codecarbon):
        raise UsageError("--advice goes with --format, -o and --ledger", hint="leave out the rest")
    _refuse_two({"samples": samples, "phases": phases, "units": units, "codecarbon": codecarbon})
    settings = load({"ledger": ledger}, cwd=os.getcwd(), environ=os.environ).settings
    if advice:
        with open_database(settings, os.environ) as database, _output(output) as file:
            _write_advice(file, database, format_)
        return
    with open_database(settings, os.environ) as database:
        chosen = [find_run(database, name) for name in runs] or list_runs(database)[::-1]
        with _output(output) as file:
            if codecarbon:
                from frugalwatch.crosscheck.codecarbon_csv import write_emissions

                write_emissions(_documents(database, chosen), file)
            elif phases or units:
                _write_parts(_documents(database, chosen), file, units=units)
            elif format_ == "csv":
                _write_csv(file, database, chosen, samples=samples)
            else:
                _write_json(file, database, chosen, samples=samples)


def _refuse_two(asked: dict[str, bool]) -> None:
    names = [f"--{name}" for name, given in asked.items() if given]
    if len(names) > 1:
        raise UsageError(f"{names[0]} and {names[1]} are two tables", hint="write them one by one")


def _write_parts(documents: Iterator[dict[str, object]], file: TextIO, *, units: bool) -> None:
    from frugalwatch.report.csv_rows import PHASE_COLUMNS, UNIT_COLUMNS, phase_rows, unit_rows

    columns = UNIT_COLUMNS if units else PHASE_COLUMNS
    writer = csv.DictWriter(file, columns, lineterminator="\n")
    writer.writeheader()
    for document in documents:
        writer.writerows(unit_rows(document) if units else phase_rows(document))


def _write_advice(file: TextIO, db: Database, format_: str) -> None:
    """One array of documents, or a row for each recommendation."""
    from frugalwatch.ledger.advice_export import advice_documents, advice_rows

    if format_ == "json":
        file.write(json.dumps(list(advice_documents(db.conn)), indent=1) + "\n")
        return
    rows = list(advice_rows(db.conn))
    writer = csv.DictWriter(file, list(rows[0]) if rows else ["advice"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


def _write_json(file: TextIO, db: Database, runs: list[RunRow], *, samples: bool) -> None:
    """One array, written run by run, so that a long ledger needs no memory."""
    separator = "[\n"
    for document in _documents(db, runs):
        if samples:
            document["samples"] = list(db.query(_SAMPLES, [document["number"]]))
        file.write(separator + json.dumps(document))
        separator = ",\n"
    file.write("[]\n" if separator == "[\n" else "\n]\n")


def _documents(db: Database, runs: list[RunRow]) -> Iterator[dict[str, object]]:
    """The run objects of those that are settled; the others are named on stderr."""
    for run in runs:
        document = stored_result(db, run.number)
        if document is None:
            click.echo(_left_out(run), err=True)
            continue
        document["number"] = run.number  # of this ledger; a merged run had another one before
        yield document


def _left_out(run: RunRow) -> str:
    if run.state == "running":
        return f"run {run.number} is not finished and was left out; see frugalwatch show"
    return f"run {run.number} has no totals and was left out\nhint: frugalwatch recover"


def _write_csv(file: TextIO, db: Database, runs: list[RunRow], *, samples: bool) -> None:
    query = _SAMPLES if samples else "SELECT * FROM run_energy WHERE run = ?"
    columns = [column[0] for column in db.execute(query, [0]).description]
    writer = csv.DictWriter(file, columns, lineterminator="\n")
    writer.writeheader()
    for run in runs:
        writer.writerows(db.query(query, [run.number]))


@contextmanager
def _output(path: str | None) -> Iterator[TextIO]:
    """stdout, or a file that appears only when it is complete.

    A pipe or a device (`-o /dev/stdout`) is written to and never replaced.
    """
    if path is None:
        yield sys.stdout
        return
    special = os.path.exists(path) and not os.path.isfile(path)
    partial = path if special else f"{path}.{os.getpid()}.partial"
    try:
        file = open(partial, "w", encoding="utf-8", newline="")  # noqa: SIM115 - closed below
    except OSError as error:
        raise FrugalWatchError(f"cannot write {path}", why=error.strerror or str(error)) from error
    try:
        with file:
            yield file
        if not special:
            os.replace(partial, path)
    except BaseException:
        if not special and os.path.exists(partial):
            os.unlink(partial)
        raise
