"""Options of commands that start a job, and what they ask of the hook inside it.

`@hook_options` puts them on a command; `take_hook_options` turns what click passes for them into
the object that the hook reads, and leaves the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

_Command = TypeVar("_Command", bound=Callable[..., Any])  # any command function of click's

_OPTIONS = (
    click.option(
        "--metric",
        "metric",
        multiple=True,
        metavar="REGEX",
        help="Record a number that the job prints: 'accuracy[=: ]+([0-9.]+)' (repeatable).",
    ),
    click.option(
        "--count",
        "count",
        multiple=True,
        type=click.Choice(["calls", "transfers"]),
        help="Count calls of torch models too, or copies between devices, and how long they take.",
    ),
    click.option(
        "--capture",
        "capture",
        metavar="[LIMITS]",
        is_flag=False,
        flag_value="",
        help="Keep calls and modules for advice, on this machine: calls=64,bytes=1GB,days=7.",
    ),
    click.option("--hook", "hook", metavar="JSON", hidden=True),  # for replays by the advisor
    click.option(
        "--profile",
        "profile_hz",
        type=float,
        metavar="[HZ]",
        help="Find which lines of a Python job use its energy, by HZ (100) samples a second.",
    ),
)


def hook_options(command: _Command) -> _Command:
    """The command with the hook's options, in the order of `_OPTIONS`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def take_hook_options(given: dict[str, object]) -> dict[str, object]:
    """What the options ask of the hook, by feature; they are removed from `given`.

    Raises UsageError for a pattern that is none, a limit that is none. What `--capture` asks is
    its limits: the folder is made when the job is about to start.
    """
    asked = _from_program(given.pop("hook", None))
    patterns = given.pop("metric", ())
    if patterns:
        asked["metric"] = _checked_patterns(patterns)
    count = given.pop("count", ())
    if isinstance(count, tuple) and count:
        asked["count"] = list(dict.fromkeys(count))
    capture = given.pop("capture", None)
    if capture is not None:
        from frugalwatch.captures.limits import parse_limits

        asked["capture"] = parse_limits(str(capture))
    profile_hz = given.pop("profile_hz", None)
    if isinstance(profile_hz, float):
        from frugalwatch.commands.profile_option import ask_for_profile

        asked["profile"] = ask_for_profile(profile_hz)
    return asked


def _from_program(text: object) -> dict[str, object]:
    """What a program of ours asks of the hook in its own words: docs/reference/hook-contract.md."""
    if text is None:
        return {}
    import json

    try:
        found = json.loads(str(text))
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise click.UsageError("--hook takes a JSON object")
    return found


def _checked_patterns(patterns: object) -> list[str]:
    import re

    checked: list[str] = []
    for pattern in patterns if isinstance(patterns, tuple) else ():
        try:
            groups = re.compile(str(pattern)).groups
        except re.error as error:
            raise click.UsageError(
                f"--metric {pattern!r} is no regular expression: {error}"
            ) from None
        if not groups:
            raise click.UsageError(
                f"--metric {pattern!r} has no group: put the number in brackets, 'loss ([0-9.]+)'"
            )
        checked.append(str(pattern))
    return checked
