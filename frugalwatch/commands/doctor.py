"""`frugalwatch doctor`: what this machine can measure, why not more, and what to type."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import click

from frugalwatch.config.load import load
from frugalwatch.errors import UsageError

if TYPE_CHECKING:
    from frugalwatch.doctor.examine import Examination

SCHEMA = "frugalwatch.doctor/1"


@click.command()
@click.argument("source", required=False)
@click.option("--json", "as_json", is_flag=True, help=f"Print JSON ({SCHEMA}).")
@click.option(
    "--crosscheck",
    "crosscheck_s",
    type=float,
    is_flag=False,
    flag_value=10.0,
    metavar="[SECONDS]",
    help="Measure beside pyRAPL and codecarbon, where installed. Default 10 s.",
)
def command(source: str | None, as_json: bool, crosscheck_s: float | None) -> None:
    """Say what this machine can measure, and what not.

    \b
    frugalwatch doctor                  every source, and what to do for more
    frugalwatch doctor rapl             one source
    frugalwatch doctor --crosscheck 30  a second opinion over the same 30 s

    Nothing is changed: remedies are printed for you to type.
    """
    if crosscheck_s is not None:
        _crosscheck(crosscheck_s, as_json=as_json)
        return
    from frugalwatch.doctor.examine import examine
    from frugalwatch.doctor.render import as_text

    loaded = load({}, cwd=os.getcwd(), environ=os.environ)
    examination = examine(loaded, os.environ)
    if source is not None:
        examination = _only(examination, source)
    if as_json:
        click.echo(json.dumps({"schema": SCHEMA, **examination.as_json()}, indent=2))
        return
    from frugalwatch.report.style import choose_style, stdout_is_terminal

    style = choose_style(os.environ, is_terminal=stdout_is_terminal())
    click.echo(as_text(examination, style, whole=source is None), color=style.on)


def _only(examination: Examination, name: str) -> Examination:
    from dataclasses import replace

    chosen = tuple(s for s in examination.sources if s.name == name)
    if not chosen:
        known = ", ".join(s.name for s in examination.sources)
        raise UsageError(f"no source called {name!r}", hint=f"one of: {known}")
    return replace(examination, sources=chosen)


def _crosscheck(seconds: float, *, as_json: bool) -> None:
    from collectors.host import Host
    from frugalwatch.calibration.place import Place
    from frugalwatch.crosscheck.compare import as_json as crosscheck_json
    from frugalwatch.crosscheck.compare import run_crosscheck
    from frugalwatch.crosscheck.render import render

    if not 0.5 <= seconds <= 3600:
        raise UsageError("--crosscheck takes 0.5 to 3600 seconds")

    def progress(text: str) -> None:
        click.echo(text, err=True)

    place = Place(Host.from_environment())
    result = run_crosscheck(
        seconds,
        place.host,
        settings=place.settings,
        calibration=place.known(),
        progress=progress,
    )
    click.echo(json.dumps(crosscheck_json(result), indent=2) if as_json else render(result))
