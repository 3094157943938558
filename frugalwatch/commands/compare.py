"""`frugalwatch compare`: two or more recorded runs side by side."""

from __future__ import annotations

import json
import os

import click

from frugalwatch.commands.run_argument import NamesRuns
from frugalwatch.config.load import load
from frugalwatch.report.compare_runs import SCHEMA

_AGAINST = "vs"
_WIDTH = 80


@click.command(cls=NamesRuns)
@click.argument("runs", nargs=-1, required=True, metavar="RUN RUN... [vs RUN...]")
@click.option("--json", "as_json", is_flag=True, help=f"Print JSON ({SCHEMA}).")
@click.option("--ledger", metavar="FILE", help="Look into this database.")
def command(runs: tuple[str, ...], as_json: bool, ledger: str | None) -> None:
    """Compare recorded runs: a ratio, and an interval where one is due.

    \b
    frugalwatch compare -2 last               the last two runs
    frugalwatch compare 36 37 38 vs 40 41 42  three before and three after
    frugalwatch compare 36 40 41 --json       for programs

    Without `vs` the runs of one command and commit on one machine are one side, and the side of
    the oldest run is what the others are held against. An interval takes three runs on each side,
    each side of one command. Where energy is modelled, CPU time is compared.
    """
    from frugalwatch.errors import UsageError
    from frugalwatch.ledger.current import open_database
    from frugalwatch.ledger.queries import find_run
    from frugalwatch.report.compare_runs import compare_runs, comparison_object
    from frugalwatch.report.compare_text import sides_of

    settings = load({"ledger": ledger}, cwd=os.getcwd(), environ=os.environ).settings
    groups = _groups(runs)
    with open_database(settings, os.environ) as database:
        numbers = [[find_run(database, name).number for name in group] for group in groups]
        chosen = sorted({number for group in numbers for number in group})
        twice = [n for n in chosen if sum(n in group for group in numbers) > 1]
        if twice:
            raise UsageError(f"run {twice[0]} is on both sides")
        if len(chosen) < 2:
            raise UsageError(
                "a comparison takes two runs or more", hint="frugalwatch compare -2 last"
            )
        sides = sides_of(numbers) if len(groups) > 1 else None
        found = compare_runs(database.conn, chosen, settings, sides)
    if as_json:
        click.echo(json.dumps(comparison_object(found), indent=2))
        return
    from frugalwatch.report.compare_text import compare_lines
    from frugalwatch.report.style import choose_style, stdout_is_terminal

    terminal = stdout_is_terminal()
    style = choose_style(os.environ, is_terminal=terminal)
    for line in compare_lines(found, _width() if terminal else _WIDTH):
        text = line.text.rstrip()
        click.echo(style.bold(text) if line.is_title else text, color=style.on)


def _groups(words: tuple[str, ...]) -> list[list[str]]:
    """The runs on each side of every `vs`. Raises UsageError for a side without any."""
    from frugalwatch.errors import UsageError

    groups: list[list[str]] = [[]]
    for word in words:
        if word == _AGAINST:
            groups.append([])
        else:
            groups[-1].append(word)
    if not all(groups):
        raise UsageError("there is no run on one side of `vs`")
    return groups


def _width() -> int:
    import shutil

    return max(60, shutil.get_terminal_size().columns)
