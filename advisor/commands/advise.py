"""`frugalwatch advise`: replay a command with changes, measure each, say which saves most."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from advisor.commands.common import (
    Replaying,
    asked_of,
    checked_metric,
    end_as_by_interrupt,
    replay_options,
    scale_of,
)
from advisor.commands.workload_options import AdviseCommand, Fed, typed_workload, workload_options
from advisor.run_times import RUN_TIMES

if TYPE_CHECKING:
    from advisor.limits import Limits
    from advisor.techniques import Family

_INTERRUPTED = 130
_LEARNING_S = 1200.0  # the budget where a model itself may change and none was named


@click.command(
    cls=AdviseCommand,
    context_settings={"allow_interspersed_args": False, "help_option_names": ["-h", "--help"]},
)
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@replay_options
@workload_options
@click.option(
    "--max-latency-ms", type=click.FloatRange(0, min_open=True), help="Of a request, at its p95."
)
@click.option(
    "--max-memory-mib", type=click.FloatRange(0, min_open=True), help="Of all its processes."
)
@click.option(
    "--family",
    type=click.Choice(["runtime", "compress", "all"]),
    help="How the model is run (runtime), the model itself (compress: minutes), or all.",
)
@click.option(
    "--student",
    metavar="FILE.py:FUNCTION",
    help="What makes a smaller model from the program's own, instead of ours.",
)
@click.option(
    "--search-storage",
    metavar="URL",
    help="Database for the search of combinations (a file beside the artefacts).",
)
@click.option(
    "--include",
    metavar="TECHNIQUE",
    multiple=True,
    help="Measure it also where it would not be offered.",
)
@click.option(
    "--install-runtime",
    "install",
    type=click.Choice(RUN_TIMES),
    multiple=True,
    help="Fetch it where the program lacks it, in a throw-away layer beside its environment.",
)
@click.option(
    "--allow-power-limit",
    "power_limit",
    is_flag=True,
    help="Try lower power limits of its GPUs, and put them back (needs permission).",
)
@click.option("--exclude", metavar="TECHNIQUE", multiple=True, help="Do not try it.")
@click.option("--resume", metavar="ADVICE", help="Go on with one that was cut short.")
def command(  # noqa: PLR0917 - click gives each option a name
    command: tuple[str, ...],
    replaying: Replaying,
    fed: Fed,
    max_latency_ms: float | None,
    max_memory_mib: float | None,
    family: Family | None,
    student: str | None,
    search_storage: str | None,
    install: tuple[str, ...],
    power_limit: bool,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    resume: str | None,
) -> int:
    """Find out which change would save most, by measuring it on your own command.

    \b
    frugalwatch advise -- python infer.py       a command
    frugalwatch advise 40                       a recorded run
    frugalwatch advise model.onnx               a model file (--inputs data.npz)
    frugalwatch advise C3                       a capture
    frugalwatch advise workload.py              a file with load_model(), inputs()
    frugalwatch advise --metric 'accuracy: (\\S+)' -- python eval.py
    frugalwatch advise --resume A7              one that was cut short

    The command is run many times, as it is and with changes to its environment, on throw-away
    layers over your files and without network. Nothing that it writes stays.
    """
    from advisor.advise import advise
    from advisor.budget import Budget
    from advisor.choosing import chosen
    from advisor.commands.resuming import cut_short
    from advisor.report import report
    from advisor.setting import Progress
    from advisor.store import open_store
    from advisor.workloads.source import from_json
    from frugalwatch.report.style import choose_style

    if not command and resume is None:
        raise click.UsageError("what is to be advised on? frugalwatch advise -- COMMAND")
    choice = chosen(include, exclude)
    end_as_by_interrupt()
    settings = replaying.loaded().settings
    progress = Progress(quiet=replaying.quiet)
    conn = open_store(settings, os.environ)
    try:
        number: int | None = None
        asked: dict[str, object] = {
            "max_latency_ms": max_latency_ms,
            "max_memory_mib": max_memory_mib,
            "family": family,
            "student": _factory(student),
        }
        if install:
            asked["install"] = list(install)
        if power_limit:
            asked["power_limit"] = True
        own_metric = None
        if resume is None:
            workload, own_metric = typed_workload(
                command, fed, replaying.isolation, replaying.stdin_file, settings
            )
        else:
            found = cut_short(conn, resume, command, replaying)
            workload, replaying, number = found.workload, found.replaying, found.number
            workload = replace(workload, source=from_json(found.plan.get("workload")))
            asked = {**found.plan, **{k: v for k, v in asked.items() if v is not None}}
            choice = choice.or_as_before(found.plan)
        if workload.source is not None:
            asked["workload"] = workload.source.as_json()
        metric = checked_metric(replaying.metric or own_metric, replaying.tolerance)
        options = replace(
            replaying.options(metric, replaying.tolerance),
            limits=_limits(asked),
            shorten=replaying.stop_after is None,
            choice=choice,
            power_limit=bool(asked.get("power_limit")),
            install=_names(asked.get("install")),
            family=_family(asked),
            student=str(asked.get("student") or ""),
            storage=search_storage or settings.search_storage,
            asked={**asked, **choice.as_json(), **asked_of(replaying), "metric": metric},
        )
        if replaying.budget is None and options.family != "runtime":
            options = replace(options, plan=replace(options.plan, budget=Budget(_LEARNING_S)))
        document = advise(conn, workload, options, progress, number)
    finally:
        progress.clear()
        conn.close()
    if replaying.as_json:
        click.echo(json.dumps(document, indent=2))
    else:
        style = choose_style(os.environ, is_terminal=sys.stdout.isatty())
        click.echo(report(document, style, scale_of(settings)))
    return _INTERRUPTED if document["state"] == "interrupted" else 0


def _names(value: object) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list) else ()


def _limits(asked: Mapping[str, object]) -> Limits:
    from advisor.limits import Limits

    latency_ms, memory_mib = asked.get("max_latency_ms"), asked.get("max_memory_mib")
    return Limits(
        latency_ms / 1000 if isinstance(latency_ms, (int, float)) else None,
        round(memory_mib * 2**20) if isinstance(memory_mib, (int, float)) else None,
    )


def _family(asked: Mapping[str, object]) -> Family:
    found = asked.get("family")
    return found if found == "all" or found == "compress" else "runtime"  # noqa: PLR1714 - mypy narrows it


def _factory(text: str | None) -> str | None:
    """FILE.py:function with the whole path. Raises click.UsageError where it names none."""
    if text is None:
        return None
    path, _, name = text.rpartition(":")
    if not name.isidentifier() or not os.path.isfile(path):
        raise click.UsageError("--student names a function in a file: --student mine.py:small")
    return f"{os.path.abspath(path)}:{name}"
