"""`frugalwatch verify`: measure again, with and without, whether a promised saving holds."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from advisor.commands.common import (
    Replaying,
    checked_metric,
    end_as_by_interrupt,
    refuse_late_options,
    replay_options,
)

if TYPE_CHECKING:
    from advisor.gates.options import GateOptions

_EXIT = {"held": 0, "not_held": 3, "cannot_tell": 1}
_INTERRUPTED = 130


@click.command(
    context_settings={"allow_interspersed_args": False, "help_option_names": ["-h", "--help"]}
)
@click.argument("advice")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@replay_options
def command(advice: str, command: tuple[str, ...], replaying: Replaying) -> int:
    """Measure whether an advice still saves what it promised.

    \b
    frugalwatch verify A1                       the command that was advised on
    frugalwatch verify A1.2 -- python infer.py  its second change, on this command

    Exit status: 0 the saving held, 3 it did not, 1 it cannot be told (or an error).
    """
    from advisor.report import verification_report
    from advisor.setting import Progress
    from advisor.store import open_store
    from advisor.verification import verify
    from advisor.workload import from_advice, from_command, refuse_unrepeatable_stdin
    from frugalwatch.ledger.advice import find_advice, recommended
    from frugalwatch.report.style import choose_style

    end_as_by_interrupt()
    words = command[1:] if command[:1] == ("--",) else command
    refuse_late_options(words, "the advice")  # before an advice of another ledger is looked up
    metric = checked_metric(replaying.metric, replaying.tolerance)
    progress = Progress(quiet=replaying.quiet)
    conn = open_store(replaying.loaded().settings, os.environ)
    try:
        stored, number = find_advice(conn, advice)
        recommendation = recommended(stored, number)
        environment = dict(os.environ)
        if words:
            if replaying.stdin_file is None:
                refuse_unrepeatable_stdin()
            workload = from_command(words, environment, replaying.stdin_file)
        else:
            workload = from_advice(stored, environment, replaying.stdin_file)
        # What counted as the same answer then counts now.
        metric = metric or _text(stored.result.get("metric_pattern"))
        tolerance = replaying.tolerance
        if tolerance is None:
            tolerance = _float(stored.result.get("tolerance"))
        stop_after = _text(stored.result.get("stop_after"))
        options = replaying.options(metric, tolerance, stop_after, _gate(stored.result))
        document = verify(conn, stored, recommendation, workload, options, tell=progress)
    finally:
        progress.clear()
        conn.close()
    if replaying.as_json:
        click.echo(json.dumps(document, indent=2))
    else:
        style = choose_style(os.environ, is_terminal=sys.stdout.isatty())
        click.echo(verification_report(document, style))
    if document["state"] == "interrupted":
        return _INTERRUPTED
    return _EXIT[str(document["verdict"])]


def _gate(result: Mapping[str, object]) -> GateOptions:
    from advisor.gates.options import parse_gate

    points = _float(result.get("max_drop_points"))
    return parse_gate(_text(result.get("gate")), 1.0 if points is None else points)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _float(value: object) -> float | None:
    return value if isinstance(value, float) else None
