"""`frugalwatch profile RUN`: which functions, lines, packages and layers used a run's energy."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from typing import TYPE_CHECKING

import click

from frugalwatch.commands.run_argument import NamesRuns
from frugalwatch.config.load import load
from frugalwatch.errors import NotFoundError

if TYPE_CHECKING:
    from frugalwatch.profile.document import Profile


@click.command(cls=NamesRuns)
@click.argument("run", default="last")
@click.option("--lines", "by_line", is_flag=True, help="Lines instead of functions.")
@click.option("--wall", is_flag=True, help="By time, waiting included, instead of by energy.")
@click.option("--rows", type=click.IntRange(1), default=20, help="Rows of the table (20).")
@click.option("--html", metavar="FILE", help="Write a page with flame graph; needs no network.")
@click.option("--svg", metavar="FILE", help="Write the flame graph alone.")
@click.option("--speedscope", metavar="FILE", help="Write a file for speedscope.app.")
@click.option("--collapsed", metavar="FILE", help="Write stacks as lines, for flamegraph.pl.")
@click.option("--json", "as_json", is_flag=True, help="Print the object (frugalwatch.profile/1).")
@click.option("--delete", is_flag=True, help="Remove what was recorded of this run's stacks.")
@click.option("--ledger", metavar="FILE", help="Look into this database.")
def command(  # noqa: PLR0917 - click passes every option by its name
    run: str,
    by_line: bool,
    wall: bool,
    rows: int,
    html: str | None,
    svg: str | None,
    speedscope: str | None,
    collapsed: str | None,
    as_json: bool,
    delete: bool,
    ledger: str | None,
) -> None:
    """Show where inside a Python job its energy went.

    \b
    frugalwatch run --profile -- python train.py   records it
    frugalwatch profile                            the last run, by function
    frugalwatch profile 12 --lines                 run 12, by line
    frugalwatch profile --html profile.html        flame graph and tables

    Joules are attributed: the run's energy above idle, split by the CPU time of each line, second
    by second. A thread that waits uses none. RUN is a number, `last` or -1, as in `show`.
    """
    profile = _load(run, ledger, delete=delete)
    if profile is None:
        return
    for path, text in _files(profile, html, svg, speedscope, collapsed):
        _write(path, text)
    if as_json:
        click.echo(json.dumps(profile.document, indent=2))
    elif not (html or svg or speedscope or collapsed):
        from shutil import get_terminal_size

        from frugalwatch.profile.text import profile_text
        from frugalwatch.report.style import choose_style, stdout_is_terminal

        style = choose_style(os.environ, is_terminal=stdout_is_terminal())
        by = "line" if by_line else "function"
        width = get_terminal_size().columns - 2 if stdout_is_terminal() else 0
        text = profile_text(profile.document, style, rows=rows, by=by, wall=wall, width=width)
        click.echo(text, color=style.on)


def _load(run: str, ledger: str | None, *, delete: bool) -> Profile | None:
    """The profile of a run; after `--delete` None. Raises NotFoundError if it has none."""
    from frugalwatch.ledger.current import open_current
    from frugalwatch.ledger.database import database
    from frugalwatch.ledger.paths import ledger_path, locate
    from frugalwatch.ledger.queries import find_run
    from frugalwatch.profile.document import build_profile
    from frugalwatch.profile.folder import delete_profile, profile_files, purge_expired

    loaded = load({"ledger": ledger}, cwd=os.getcwd(), environ=os.environ)
    gone = purge_expired(os.environ, loaded.settings.profile_days, time.time())
    if gone:
        click.echo(f"expired and deleted: {len(gone)} profiles", err=True)
    location = locate(ledger_path(loaded.settings, os.environ), os.environ)
    connection = open_current(location, os.environ, notify=_warn)
    try:
        row = find_run(database(connection), run)
        files = profile_files(os.environ, row.run_key)
        if delete:
            freed = delete_profile(os.environ, row.run_key)
            click.echo(f"removed {freed} bytes of run {row.number}'s profile", err=True)
            return None
        profile = build_profile(connection, row.number, files)
        if profile is None:
            raise NotFoundError(
                f"run {row.number} has no profile",
                why=_why_none(connection, row.number),
                hint="frugalwatch run --profile -- python SCRIPT records one",
            )
        return profile
    finally:
        connection.close()


def _why_none(connection: sqlite3.Connection, run_number: int) -> str:
    """What is known of why nothing came."""
    features = connection.execute(
        "SELECT features FROM process WHERE run_id = ?", (run_number,)
    ).fetchall()
    if not features:
        return (
            "no Python process of the job said hello: no Python, python -I, -S or -E,"
            " or run with --no-hook"
        )
    if not any("profile" in (found or "") for (found,) in features):
        return "it was run without --profile"
    problem = connection.execute(
        "SELECT detail FROM event WHERE run_id = ? AND detail LIKE 'profile%'", (run_number,)
    ).fetchone()
    return problem[0] if problem else "its processes ended before the first sample was written"


def _files(
    profile: Profile,
    html: str | None,
    svg: str | None,
    speedscope: str | None,
    collapsed: str | None,
) -> list[tuple[str, str]]:
    """What was asked to be written, by path."""
    from frugalwatch.profile import exports, page

    asked: list[tuple[str, str]] = []
    if html:
        asked.append((html, page.html_page(profile)))
    if svg:
        asked.append((svg, page.svg_image(profile)))
    if speedscope:
        asked.append((speedscope, exports.speedscope(profile)))
    if collapsed:
        asked.append((collapsed, exports.collapsed(profile)))
    return asked


def _write(path: str, text: str) -> None:
    if path == "-":
        click.echo(text, nl=False)
        return
    try:
        with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
    except OSError as error:
        raise click.UsageError(f"cannot write {path}: {error.strerror}") from error
    click.echo(f"written: {path}", err=True)


def _warn(kind: str, message: str) -> None:
    del kind
    click.echo(f"warning: {message}", err=True)
