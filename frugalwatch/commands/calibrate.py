"""`frugalwatch calibrate`: teach the model this machine's watts, told, measured or imported."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import click

from frugalwatch.errors import FrugalWatchError, UsageError

if TYPE_CHECKING:
    from collectors.calibration import Calibration
    from frugalwatch.calibration.place import Place, Row

SCHEMA = "frugalwatch.calibration/1"
_MAX_FILE_BYTES = 64 * 1024


@click.command(
    name="calibrate",
    epilog="What was learned narrows the bounds of modelled figures from the next run on.",
)
@click.option("--idle-w", type=float, metavar="W", help="The machine's watts at the plug, idle.")
@click.option("--full-w", type=float, metavar="W", help="Its watts at the plug under full load.")
@click.option(
    "--idle",
    "idle_s",
    type=float,
    is_flag=False,
    flag_value=30.0,
    metavar="[SECONDS]",
    help="Measure every counter's idle watts now. Default 30 s. Leave the machine alone meanwhile.",
)
@click.option(
    "--workloads",
    is_flag=True,
    help="Measure watts per CPU second by kind of work. Loads all CPUs.",
)
@click.option(
    "--seconds", type=float, default=60.0, show_default=True, help="How long --workloads takes."
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Where --workloads writes its file. Default: frugalwatch-calibration.json",
)
@click.option(
    "--import",
    "import_file",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Use a file that --workloads wrote on a machine of the same CPU family.",
)
@click.option(
    "--anyway", is_flag=True, help="Keep what was measured on a machine that was not quiet."
)
@click.option("--clear", is_flag=True, help="Forget everything about this machine.")
@click.option("--json", "as_json", is_flag=True, help=f"Print JSON ({SCHEMA}).")
def command(
    *,
    idle_w: float | None,
    full_w: float | None,
    idle_s: float | None,
    workloads: bool,
    seconds: float,
    output: str | None,
    import_file: str | None,
    anyway: bool,
    clear: bool,
    as_json: bool,
) -> None:
    """Teach the energy model this machine's own power.

    \b
    frugalwatch calibrate                           what is known so far
    frugalwatch calibrate --idle-w 38 --full-w 145  what a wall meter showed
    frugalwatch calibrate --idle                    measure idle by counters
    frugalwatch calibrate --workloads               and kinds of work
    frugalwatch calibrate --import FILE             such a file, without counters
    """
    told = idle_w is not None or full_w is not None
    chosen = [told, idle_s is not None, workloads, import_file is not None, clear]
    if sum(chosen) > 1:
        raise UsageError(
            "one thing at a time: --idle-w/--full-w, --idle, --workloads, --import or --clear",
            hint="frugalwatch calibrate --help",
        )
    from collectors.host import Host
    from frugalwatch.calibration.place import Place

    place = Place(Host.from_environment(), notify=_notice)
    done: dict[str, object] = {}
    if told:
        done = _tell(place, idle_w, full_w)
    elif idle_s is not None:
        done = _measure_idle(place, idle_s, anyway=anyway)
    elif workloads:
        done = _measure_workloads(
            place, seconds, output or "frugalwatch-calibration.json", anyway=anyway
        )
    elif import_file is not None:
        done = _import(place, import_file)
    elif clear:
        done = {"cleared": place.clear()}
    known = place.known()
    if as_json:
        click.echo(json.dumps({"schema": SCHEMA, **done, **_as_json(place, known)}, indent=2))
    else:
        _say(done)
        _show(place, known)


def _tell(place: Place, idle_w: float | None, full_w: float | None) -> dict[str, object]:
    from frugalwatch.ledger.calibrations import MACHINE_DEVICE

    for name, watts in (("--idle-w", idle_w), ("--full-w", full_w)):
        if watts is not None and not 0 < watts < 1e6:
            raise UsageError(f"{name} must be a number of watts above 0, not {watts:g}")
    known = place.known()
    told = known.told if known is not None else None
    idle = idle_w if idle_w is not None else told.idle_w if told else None
    full = full_w if full_w is not None else told.full_w if told else None
    if idle is not None and full is not None and full <= idle:
        raise UsageError(
            f"full load ({full:g} W) must draw more than idle ({idle:g} W)",
            hint="frugalwatch calibrate --idle-w IDLE --full-w FULL",
        )
    rows: list[Row] = []
    if idle_w is not None:
        rows.append((MACHINE_DEVICE, "idle", {"idle_w": idle_w}, "told"))
    if full_w is not None:
        rows.append((MACHINE_DEVICE, "full_load", {"full_w": full_w}, "told"))
    place.save(rows)
    return {"stored": "told"}


def _measure_idle(place: Place, seconds: float, *, anyway: bool) -> dict[str, object]:
    from frugalwatch.calibration.idle import BUSY_LIMIT, measure_idle
    from frugalwatch.meter import Meter, hardware

    if not 1 <= seconds <= 3600:
        raise UsageError(f"--idle takes 1 to 3600 seconds, not {seconds:g}")
    with Meter(hardware(place.host, place.settings.sources_off)) as meter:
        if not any(d.origin in ("measured", "derived") for d in meter.devices.values()):
            raise FrugalWatchError(
                "this machine shows no energy counter or power sensor",
                why="; ".join(f"{p.name}: {p.reason}" for p in meter.probes if p.reason),
                hint="read a wall meter instead: frugalwatch calibrate --idle-w W --full-w W",
            )
        result = measure_idle(meter, place.host, seconds, place.threads, _progress)
    if not result.quiet and not anyway:
        share = "unknown" if result.busy_share is None else f"{result.busy_share:.0%}"
        raise FrugalWatchError(
            "nothing was stored: the machine was not idle",
            why=f"its CPUs were {share} busy, and the limit is {BUSY_LIMIT:.0%}",
            hint="stop other work and repeat, or keep it as it is: frugalwatch calibrate --idle"
            " --anyway",
        )
    for left_out in result.left_out:
        click.echo(f"warning: {left_out}: not stored", err=True)
    place.save(
        [
            (
                found.device.key,
                "idle",
                {
                    "idle_w": found.idle_w.value,
                    "low_w": found.idle_w.low,
                    "high_w": found.idle_w.high,
                    "seconds": result.seconds,
                    "busy_share": result.busy_share,
                },
                "measured",
            )
            for found in result.devices
        ]
    )
    return {"stored": "idle", "seconds": result.seconds, "busy_share": result.busy_share}


def _measure_workloads(
    place: Place, seconds: float, output: str, *, anyway: bool
) -> dict[str, object]:
    from collectors.cpu_time import machine_busy_us
    from frugalwatch.calibration.idle import BUSY_LIMIT
    from frugalwatch.calibration.workloads import document, measure_workloads
    from frugalwatch.ledger.calibrations import MACHINE_DEVICE
    from frugalwatch.meter import Meter, hardware

    if not 6 <= seconds <= 3600:
        raise UsageError(f"--seconds takes 6 to 3600 seconds, not {seconds:g}")
    if place.identity is None:
        raise FrugalWatchError("this machine does not say which CPU it has")
    with Meter(hardware(place.host, place.settings.sources_off)) as meter:
        result = measure_workloads(
            meter,
            place.identity,
            lambda: machine_busy_us(place.host),
            seconds=seconds,
            progress=_progress,
        )
    limit = BUSY_LIMIT * place.threads
    if result.background_cpus > limit and not anyway:
        raise FrugalWatchError(
            "nothing was stored: other work ran beside the loops",
            why=f"it kept {result.background_cpus:.1f} CPUs busy, and the limit is {limit:.1f}",
            hint="stop it and repeat, or keep the result: frugalwatch calibrate --workloads"
            " --anyway",
        )
    for kind, why in result.skipped.items():
        click.echo(f"skipped {kind}: {why}", err=True)
    if not result.work:
        raise FrugalWatchError("no kind of work could be measured", why="see the lines above")
    content = document(result, place.identity, place.power, time.time())
    try:
        with open(output, "w", encoding="utf-8") as file:
            json.dump(content, file, indent=1)
            file.write("\n")
    except OSError as error:
        raise FrugalWatchError(f"cannot write {output}", why=str(error)) from error
    place.save([(MACHINE_DEVICE, "workloads", content, "measured")])
    return {"stored": "workloads", "file": output, "workloads": content}


def _import(place: Place, path: str) -> dict[str, object]:
    from frugalwatch.calibration.workloads import SCHEMA as FILE_SCHEMA
    from frugalwatch.ledger.calibrations import MACHINE_DEVICE, workloads_from

    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(_MAX_FILE_BYTES + 1)
        content = json.loads(text) if len(text) <= _MAX_FILE_BYTES else None
        if not isinstance(content, dict) or content.get("schema") != FILE_SCHEMA:
            raise ValueError(f"it is no {FILE_SCHEMA} document")
        found = workloads_from(content)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UsageError(
            f"cannot use {path}",
            why=str(error),
            hint="such a file is made by: frugalwatch calibrate --workloads",
        ) from error
    if found.key != place.power.key or found.key == "any server":
        raise UsageError(
            f"{path} is about another CPU family",
            why=f"it was measured on {found.key} ({found.cpu}); this is {place.power.key}"
            f" ({place.power.microarchitecture})",
        )
    place.save([(MACHINE_DEVICE, "workloads", content, "imported")])
    return {"stored": "imported", "file": path}


def _progress(text: str) -> None:
    click.echo(f"calibrate: {text}", err=True)


def _notice(_kind: str, text: str) -> None:
    click.echo(f"warning: {text}", err=True)


def _as_json(place: Place, known: Calibration | None) -> dict[str, object]:
    told = known.told if known is not None else None
    workloads = known.workloads if known is not None else None
    return {
        "machine": place.machine_key,
        "cpu": place.identity.label if place.identity is not None else None,
        "family_key": place.power.key,
        "told_idle_w": told.idle_w if told else None,
        "told_full_w": told.full_w if told else None,
        "idle_w": {
            key: {"idle_w": band.value, "low_w": band.low, "high_w": band.high}
            for key, band in (known.idle_w if known is not None else {}).items()
        },
        "work_w_per_cpu": {work.kind: work.watts_per_cpu for work in workloads.work}
        if workloads
        else None,
        "work_cpu": workloads.cpu if workloads else None,
        "model": _model_json(place, known),
    }


def _model_json(place: Place, known: Calibration | None) -> dict[str, object]:
    from collectors.cpu_model import cpu_model_collector

    model = cpu_model_collector(place.host, place.settings.cpu_model, known).model
    return {
        "source": model.source,
        "note": model.note,
        "boundary": model.boundary,
        "threads": model.threads,
        "idle_w": _short(model.idle_w.value),
        "idle_low_w": _short(model.idle_w.low),
        "idle_high_w": _short(model.idle_w.high),
        "full_w": _short(model.full_w.value),
        "full_low_w": _short(model.full_w.low),
        "full_high_w": _short(model.full_w.high),
    }


def _short(watts: float) -> float:
    """Without the digits that binary fractions add."""
    return float(f"{watts:.6g}")


def _say(done: dict[str, object]) -> None:
    words = {
        "told": "stored what you told",
        "idle": "stored the measured idle power",
        "workloads": f"stored, and written to {done.get('file')}",
        "imported": f"imported {done.get('file')}",
    }
    stored = done.get("stored")
    if isinstance(stored, str):
        click.echo(words[stored], err=True)
    if "cleared" in done:
        click.echo(f"forgot {done['cleared']} entries", err=True)


def _show(place: Place, known: Calibration | None) -> None:
    label = place.identity.label if place.identity is not None else "unknown CPU"
    click.echo(f"CPU      {label}, {place.threads} hardware threads")
    if known is None:
        click.echo("Known    nothing yet: the model uses the table of published servers")
    else:
        for key, band in known.idle_w.items():
            click.echo(
                f"Idle     {key} {band.value:.3g} W ({band.low:.3g} to {band.high:.3g}), measured"
            )
        if known.told is not None:
            idle, full = known.told.idle_w, known.told.full_w
            parts = [
                f"{watts:g} W {what}" for watts, what in ((idle, "idle"), (full, "full")) if watts
            ]
            click.echo(f"Told     {', '.join(parts)}, at the plug")
        if known.workloads is not None:
            kinds = ", ".join(
                f"{work.kind} {work.watts_per_cpu:.3g}" for work in known.workloads.work
            )
            click.echo(f"Work     {kinds} W per busy CPU, on {known.workloads.cpu}")
    model = _model_json(place, known)
    click.echo(
        f"Model    {model['idle_w']:.3g}~ W idle ({model['idle_low_w']:.3g} to"
        f" {model['idle_high_w']:.3g}), {model['full_w']:.3g}~ W full"
        f" ({model['full_low_w']:.3g} to {model['full_high_w']:.3g})"
    )
    click.echo(f"         {model['source']}")
    if known is None:
        click.echo(
            "Next     frugalwatch calibrate --idle-w W --full-w W   with a meter at the wall"
        )
