"""`frugalwatch advise`: replay a command with changes, measure each, say which saves most."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

import click

from advisor.commands.common import Replaying, checked_metric, refuse_late_options, replay_options

if TYPE_CHECKING:
    from advisor.workload import Workload
    from frugalwatch.config.settings import Settings

_INTERRUPTED = 130


@click.command(
    context_settings={"allow_interspersed_args": False, "help_option_names": ["-h", "--help"]}
)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@replay_options
def command(command: tuple[str, ...], replaying: Replaying) -> int:
    """Find out which change would save most, by measuring it on your own command.

    \b
    frugalwatch advise -- python infer.py       a command
    frugalwatch advise 40                       a recorded run
    frugalwatch advise --metric 'accuracy: (\\S+)' -- python eval.py

    The command is run many times, as it is and with changes to its environment, on throw-away
    layers over your files and without network. Nothing that it writes stays.
    """
    from advisor.advise import advise
    from advisor.report import report
    from advisor.setting import Progress
    from advisor.store import open_store
    from frugalwatch.report.style import choose_style

    metric = checked_metric(replaying.metric, replaying.tolerance)
    settings = replaying.loaded().settings
    workload = _workload(command, replaying.stdin_file, settings)
    progress = Progress(quiet=replaying.quiet)
    conn = open_store(settings, os.environ)
    try:
        options = replaying.options(metric, replaying.tolerance)
        document = advise(conn, workload, options, progress)
    finally:
        progress.clear()
        conn.close()
    if replaying.as_json:
        click.echo(json.dumps(document, indent=2))
    else:
        style = choose_style(os.environ, is_terminal=sys.stdout.isatty())
        click.echo(report(document, style))
    return _INTERRUPTED if document["state"] == "interrupted" else 0


def _workload(command: tuple[str, ...], stdin_file: str | None, settings: Settings) -> Workload:
    """A command after `--`, or a recorded run that is named without it."""
    from advisor.workload import from_command, from_run, refuse_unrepeatable_stdin

    if stdin_file is None:
        refuse_unrepeatable_stdin()
    if _is_run_name(command[0]):
        refuse_late_options(command[1:], "the run")
    if len(command) > 1 or not _is_run_name(command[0]):
        return from_command(command, dict(os.environ), stdin_file)
    from frugalwatch.ledger.current import open_database
    from frugalwatch.ledger.queries import find_run

    with open_database(settings, os.environ) as database:
        run = find_run(database, command[0])
        cwd = next(iter(database.query("SELECT cwd FROM run WHERE id = ?", [run.number])))["cwd"]
    return from_run(run, str(cwd), dict(os.environ), stdin_file)


def _is_run_name(word: str) -> bool:
    import re
    import shutil

    if word == "last":  # /usr/bin/last exists too, and nobody wants advice on it
        return True
    looks = re.fullmatch(r"\d+|\d{8}-\d*-?[0-9a-f]*", word)
    return looks is not None and shutil.which(word) is None
