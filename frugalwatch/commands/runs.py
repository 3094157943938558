"""`frugalwatch runs`: what was measured so far, one line a run."""

from __future__ import annotations

import json
import os
import time

import click

from frugalwatch.config.load import load
from frugalwatch.config.settings import Settings
from frugalwatch.ledger.queries import STATES, RunRow, leading_units, list_runs

SCHEMA = "frugalwatch.runs/1"
DEFAULT_LIMIT = 20

_HEADER = ("Run", "State", "Started", "Time", "Energy", "CO2e", "Command")
_RIGHT = (True, False, False, True, True, True, False)
_NARROWEST_COMMAND = 12


@click.command()
@click.argument("text", metavar="[FILTER]", default="")
@click.option(
    "--limit", type=click.IntRange(1), default=DEFAULT_LIMIT, show_default=True, help="At most."
)
@click.option("--all", "everything", is_flag=True, help="Every run, however many.")
@click.option("--state", type=click.Choice(STATES), help="Only runs in this state.")
@click.option("--json", "as_json", is_flag=True, help=f"Print JSON ({SCHEMA}).")
@click.option("--ledger", metavar="FILE", help="Look into this database.")
def command(
    *, text: str, limit: int, everything: bool, state: str | None, as_json: bool, ledger: str | None
) -> None:
    """List the recorded runs, the latest first.

    \b
    frugalwatch runs                 the last 20
    frugalwatch runs train.py        those with train.py in their command
    frugalwatch runs --state killed  those that died of a signal
    frugalwatch runs --all --json    all of them, for programs
    """
    settings = load({"ledger": ledger}, cwd=os.getcwd(), environ=os.environ).settings
    limit_and_one = None if everything else limit + 1
    runs, units = _find(settings, state, text, limit_and_one, with_units=as_json)
    more = not everything and len(runs) > limit
    if more:
        runs.pop()
    if as_json:
        objects = [{**_object(run), "unit": units.get(run.number)} for run in runs]
        click.echo(json.dumps({"schema": SCHEMA, "runs": objects}, indent=2))
        return
    if not runs:
        said = "no such run" if text or state else "no runs yet"
        click.echo(f"{said}\nhint: frugalwatch run -- COMMAND records one", err=True)
        return
    for line in table(runs, _width()):
        click.echo(line)
    for note in _notes(runs, limit if more else None):
        click.echo(note, err=True)


def _find(
    settings: Settings, state: str | None, text: str, limit: int | None, *, with_units: bool
) -> tuple[list[RunRow], dict[int, dict[str, object]]]:
    """The runs, and what each leads with where that is asked for."""
    from frugalwatch.errors import LedgerError
    from frugalwatch.ledger.connection import trouble
    from frugalwatch.ledger.current import open_database

    try:
        with open_database(settings, os.environ) as database:
            runs = list_runs(database, state=state, text=text, limit=limit)
            numbers = [run.number for run in runs] if with_units else []
            return runs, leading_units(database, numbers)
    except LedgerError as error:
        if trouble(error) == "missing":
            return [], {}
        raise


def table(runs: list[RunRow], width: int | None) -> list[str]:
    """The lines of the table, the heading first; commands are cut to `width`, None: never."""
    from frugalwatch.report.format import command_line

    rows = [_HEADER, *(_cells(run) for run in runs)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADER) - 1)]
    room = 10**6
    if width is not None:
        room = max(_NARROWEST_COMMAND, width - sum(widths) - 2 * len(widths))
    lines = []
    for row, run in zip(rows, [None, *runs], strict=True):
        cells = [
            cell.rjust(size) if right else cell.ljust(size)
            for cell, size, right in zip(row[:-1], widths, _RIGHT[:-1], strict=True)
        ]
        last = row[-1] if run is None else command_line(list(run.command), room)
        lines.append("  ".join([*cells, last]).rstrip())
    return lines


def _cells(run: RunRow) -> tuple[str, ...]:
    from frugalwatch.report.format import duration

    return (
        str(run.number),
        _state(run),
        _started(run.started_utc_s),
        duration(run.duration_s),
        _energy(run),
        _carbon(run),
        "",
    )


def _state(run: RunRow) -> str:
    code = run.exit_code
    if run.state == "killed":
        return "killed" if code is None else f"signal {code - 128}"
    return f"exit {code}" if run.state == "done" and code else run.state


def _started(utc_s: float) -> str:
    """Local time: `11-22 05:10` in this year, else the date."""
    then = time.localtime(utc_s)
    same_year = then.tm_year == time.localtime().tm_year
    return time.strftime("%m-%d %H:%M" if same_year else "%Y-%m-%d", then)


def _carbon(run: RunRow) -> str:
    """Carbon of all counted energy; `~` where any of it is modelled."""
    if run.co2e_g is None:
        return "-"
    from frugalwatch.report.format import grams

    return f"{grams(run.co2e_g)}{'' if run.estimated_j is None else '~'}"


def _energy(run: RunRow) -> str:
    """Measured energy, `+` where modelled devices stand beside it; modelled alone with a `~`."""
    from frugalwatch.report.format import digits_for, energy

    if run.energy_j is not None:
        low, high = run.energy_low_j, run.energy_high_j
        digits = digits_for(run.energy_j, low or 0.0, run.energy_j if high is None else high)
        mark = "" if run.estimated_j is None else "+"
        return f"{energy(run.energy_j, digits)}{mark}"
    if run.estimated_j is None:
        return "-"
    return f"{energy(run.estimated_j, 2)}~"


def _notes(runs: list[RunRow], limit: int | None) -> list[str]:
    notes = []
    if any(run.energy_j is None and run.estimated_j is not None for run in runs):
        notes.append("~ estimated, not measured")
    if any(run.energy_j is not None and run.estimated_j is not None for run in runs):
        notes.append("+ and estimated devices beside it: frugalwatch show RUN")
    if limit is not None:
        notes.append(f"only the last {limit}: --all lists every run")
    return notes


def _width() -> int | None:
    """Columns of the terminal; None where stdout is none, and nothing need be cut."""
    from frugalwatch.report.style import stdout_is_terminal

    if not stdout_is_terminal():
        return None
    import shutil

    return shutil.get_terminal_size().columns


def _object(run: RunRow) -> dict[str, object]:
    return {
        "number": run.number,
        "run_id": run.run_key,
        "state": run.state,
        "exit_code": run.exit_code,
        "command": list(run.command),
        "started_utc": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(run.started_utc_s)),
        "duration_s": run.duration_s,
        "energy_j": run.energy_j,
        "energy_low_j": run.energy_low_j,
        "energy_high_j": run.energy_high_j,
        "estimated_j": run.estimated_j,
        "estimated_low_j": run.estimated_low_j,
        "estimated_high_j": run.estimated_high_j,
        "co2e_g": run.co2e_g,
        "cpu_s": run.cpu_s,
        "coverage": run.coverage,
    }
