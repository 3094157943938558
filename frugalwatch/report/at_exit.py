"""What `run` leaves behind when the job is over: the summary on stderr, the object where asked."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from frugalwatch.report.style import choose_style
from frugalwatch.report.summary import block_summary, line_summary

if TYPE_CHECKING:
    from frugalwatch.supervisor.supervise import Outcome


def report_outcome(
    outcome: Outcome,
    *,
    style: str,
    quiet: bool,
    json_target: str | None,
    environ: Mapping[str, str],
) -> bool:
    """Say how the run went. True if energy was measured. Never raises for a closed stderr."""
    if outcome.end is None:
        _say(f"frugalwatch: {outcome.message}")
        return False
    run = outcome.answer.get("run") if outcome.answer else None
    if not isinstance(run, dict):
        if not quiet:
            _say(
                f"frugalwatch: exit={outcome.exit_code} cpu_s={outcome.end.cpu_us / 1e6:.2f}"
                " energy unknown: the sampler gave no result in time\n"
                "hint: `frugalwatch runs` shows it when it is settled, or `frugalwatch recover`"
            )
        return False
    if json_target is not None:
        _write_json(run, json_target)
    if not quiet:
        for notice in _notices(outcome):
            _say(f"frugalwatch: {notice}")
        _summarise(run, style, environ)
    return run["energy_j"] is not None


def _summarise(run: dict[str, object], style: str, environ: Mapping[str, str]) -> None:
    is_terminal = _is_terminal()
    if style == "auto":
        style = "block" if is_terminal else "line"
    if style == "block":
        look = choose_style(environ, is_terminal=is_terminal)
        # An empty line parts the job's last words from ours.
        _say("\n" + block_summary(run, look))
    elif style == "line":
        _say(line_summary(run))


def _notices(outcome: Outcome) -> list[str]:
    notices = outcome.answer.get("notices") if outcome.answer else None
    return [str(n) for n in notices] if isinstance(notices, list) else []


def _write_json(run: dict[str, object], target: str) -> None:
    text = json.dumps(run, indent=2) + "\n"
    try:
        if target == "-":
            _write_all(1, text.encode(errors="replace"))
            return
        if os.path.exists(target) and not os.path.isfile(target):
            # A pipe or a device: a rename would put a plain file in its place.
            with open(target, "w") as file:
                file.write(text)
            return
        # Renamed into place, so that whoever waits for the file never reads half of it.
        part = f"{target}.part-{os.getpid()}"
        with open(part, "w") as file:
            file.write(text)
        os.replace(part, target)
    except OSError as error:
        _say(f"frugalwatch: cannot write {target}: {error.strerror}")


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _is_terminal() -> bool:
    try:
        return os.isatty(2)
    except OSError:
        return False


def _say(text: str) -> None:
    try:
        os.write(2, f"{text}\n".encode(errors="replace"))
    except OSError:
        return
