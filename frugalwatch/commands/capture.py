"""`frugalwatch capture list|show|delete`: what `run --capture` has kept."""

from __future__ import annotations

import json
import os

import click

from frugalwatch.captures.folder import (
    captures_folder,
    delete_capture,
    find_capture,
    list_captures,
    purge_expired,
)
from frugalwatch.captures.reading import SCHEMA as SHOW_SCHEMA
from frugalwatch.captures.reading import Capture, read_capture, size_bytes

LIST_SCHEMA = "frugalwatch.captures/1"
_WIDTH = 100


@click.group(name="capture")
def command() -> None:
    """List, show and delete what `run --capture` has kept.

    \b
    frugalwatch run --capture -- python infer.py   64 calls a module, 1 GB
    frugalwatch run --capture calls=16,days=1 -- ./infer.py
    frugalwatch capture show last                  what is in it, what not and why

    A capture is local, readable by you alone, and deleted after 7 days.
    """


@command.command(name="list")
@click.option("--json", "as_json", is_flag=True, help=f"Print JSON ({LIST_SCHEMA}).")
def list_(as_json: bool) -> None:
    """List the captures, the latest first. Those that have expired are deleted."""
    folder = _folder()
    captures = [read_capture(path) for path in list_captures(folder)]
    if as_json:
        documents = [_listed(capture) for capture in captures]
        click.echo(json.dumps({"schema": LIST_SCHEMA, "captures": documents}, indent=2))
        return
    if not captures:
        click.echo("no captures\nhint: frugalwatch run --capture -- COMMAND makes one", err=True)
        return
    import shutil

    from frugalwatch.captures.render import size
    from frugalwatch.report.format import command_line

    rows = [("Capture", "Made (UTC)", "Modules", "Calls", "Size", "Command")]
    for capture in captures:
        listed = _listed(capture)
        rows.append(
            (
                capture.name,
                str(listed["created_utc"] or "-").replace("T", " ").removesuffix("Z"),
                str(len(capture.modules)),
                str(sum(module.kept for module in capture.modules)),
                size(capture.bytes),
                "",
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    room = max(12, shutil.get_terminal_size((_WIDTH, 24)).columns - sum(widths) - 2 * len(widths))
    for row, described in zip(rows, [None, *captures], strict=True):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        words = row[-1] if described is None else command_line(_command(described), room)
        click.echo("  ".join([*cells, words]).rstrip())


@command.command()
@click.argument("capture", default="last")
@click.option("--json", "as_json", is_flag=True, help=f"Print JSON ({SHOW_SCHEMA}).")
def show(capture: str, as_json: bool) -> None:
    """Show what a capture holds: C3, 3 or last.

    Its modules, calls, shapes, types, sizes, how many calls repeat inputs, and what could not be
    stored and why. Nothing of it is run or unpickled.
    """
    found = read_capture(find_capture(_folder(), capture))
    if as_json:
        click.echo(json.dumps(found.as_json(), indent=2))
        return
    import shutil

    from frugalwatch.captures.render import capture_lines

    width = min(_WIDTH, shutil.get_terminal_size((_WIDTH, 24)).columns)
    for line in capture_lines(found, _run_number(found), width):
        click.echo(line)
    click.echo(f"\n  Next  frugalwatch capture delete {found.name}")


@command.command()
@click.argument("captures", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Every capture.")
def delete(captures: tuple[str, ...], everything: bool) -> None:
    """Delete captures: C3, 3 or last. There is no way back."""
    if bool(captures) == everything:
        raise click.UsageError("name captures, or say --all")
    folder = _folder()
    paths = list_captures(folder) if everything else [find_capture(folder, n) for n in captures]
    for path in dict.fromkeys(paths):
        taken = size_bytes(path)
        delete_capture(path)
        from frugalwatch.captures.render import size

        click.echo(f"deleted {os.path.basename(path)}, {size(taken)}")
    if not paths:
        click.echo("no captures", err=True)


def _folder() -> str:
    """The folder of captures, once those whose time is over are gone."""
    folder = captures_folder(os.environ)
    gone = purge_expired(folder)
    if gone:
        click.echo(f"expired and deleted: {', '.join(gone)}", err=True)
    return folder


def _listed(capture: Capture) -> dict[str, object]:
    manifest = capture.manifest
    return {
        "capture": capture.name,
        "run_id": capture.run_id,
        "created_utc": manifest.get("created_utc"),
        "expires_utc": manifest.get("expires_utc"),
        "command": _command(capture),
        "modules": len(capture.modules),
        "kept_calls": sum(module.kept for module in capture.modules),
        "size_bytes": capture.bytes,
        "folder": capture.path,
    }


def _command(capture: Capture) -> list[str]:
    found = capture.manifest.get("command")
    return [str(word) for word in found] if isinstance(found, list) else []


def _run_number(capture: Capture) -> int | None:
    """The number of its run in the ledger; None where the ledger does not have it."""
    from frugalwatch.config.load import load
    from frugalwatch.errors import FrugalWatchError
    from frugalwatch.ledger.current import open_database
    from frugalwatch.ledger.queries import find_run

    if capture.run_id is None:
        return None
    try:
        settings = load({}, cwd=os.getcwd(), environ=os.environ).settings
        with open_database(settings, os.environ) as database:
            return find_run(database, capture.run_id).number
    except (FrugalWatchError, OSError):
        return None
