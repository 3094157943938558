"""Options that `advise` and `verify` share."""

from __future__ import annotations

import functools
import os
import signal
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from frugalwatch.errors import UsageError

if TYPE_CHECKING:
    from advisor.gates.options import GateOptions
    from advisor.options import Options
    from advisor.replay import Isolation
    from advisor.report import Scale
    from frugalwatch.config.load import Loaded
    from frugalwatch.config.settings import Settings

_Answer = TypeVar("_Answer")


class Replaying(NamedTuple):
    """What both commands were told about the replays, under click's names for the options."""

    rounds: int | None
    budget: str | None
    stdin_file: str | None
    metric: str | None
    tolerance: float | None
    max_drop: float | None
    gate: str | None
    stop_after: str | None
    in_place: bool
    network: bool
    seed: int
    as_json: bool
    quiet: bool
    ledger: str | None

    def loaded(self) -> Loaded:
        """The settings, with the database that was named. Raises FrugalWatchError."""
        from frugalwatch.config.load import load

        return load({"ledger": self.ledger}, cwd=os.getcwd(), environ=os.environ)

    @property
    def isolation(self) -> Isolation:
        """What replays may reach."""
        from advisor.replay import Isolation

        return Isolation(self.in_place, self.network)

    def options(
        self,
        metric: str | None,
        tolerance: float | None,
        stop_after: str | None = None,
        gate: GateOptions | None = None,
    ) -> Options:
        """How to replay, with what must stay the same. Raises UsageError for what is no budget.

        `stop_after` and `gate` are what an earlier search was told, where this one is told nothing.
        """
        from advisor.budget import Budget, parse_budget
        from advisor.gates.gate import need_numpy
        from advisor.gates.options import GateOptions, parse_gate
        from advisor.options import Options
        from advisor.search import Plan
        from advisor.stopping import NEVER, parse_stop

        words = self.stop_after or stop_after
        stop = None if words in (None, NEVER) else parse_stop(str(words))
        hook = bool(self.loaded().settings.hook)
        if stop is not None and not hook:
            raise UsageError("--stop-after needs the hook, which is switched off")
        budget = Budget() if self.budget is None else parse_budget(self.budget)
        plan = Plan(budget, self.rounds, self.seed)
        earlier = gate or GateOptions()
        points = earlier.max_drop_points if self.max_drop is None else self.max_drop
        told = self.gate is not None or self.max_drop is not None
        allowed = parse_gate(self.gate, points) if told else earlier
        if self.gate is not None:  # said now, and not after minutes of replays
            need_numpy()
        return Options(plan, self.isolation, metric, tolerance, hook, stop, allowed)


_OPTIONS = (
    click.option("--rounds", type=click.IntRange(3, 200), help="Rounds to confirm (up to 8)."),
    click.option(
        "--budget",
        "--time-budget",
        "budget",
        metavar="10min|5Wh",
        help="What all replays may take (2min): time, energy, or 10min,5Wh.",
    ),
    click.option("--stdin", "stdin_file", metavar="FILE", help="What every replay reads."),
    click.option("--metric", metavar="REGEX", help="The number in its output that must stay."),
    click.option(
        "--tolerance",
        type=click.FloatRange(0),
        help="How far it may move, absolute (as far as it does by itself).",
    ),
    click.option(
        "--max-drop",
        type=click.FloatRange(0, 100),
        metavar="POINTS",
        help="What a change in precision may cost (1): see --gate.",
    ),
    click.option(
        "--gate",
        metavar="MEASURE",
        help="What is judged without labels: overlap>=0.97, agreement>=0.99, error<=0.01,"
        " tokens>=0.99.",
    ),
    click.option(
        "--stop-after",
        metavar="N[UNIT]",
        help="End each replay after so many steps: 50; or calls of the model: 200calls; never:"
        " replay all of it.",
    ),
    click.option(
        "--replay-in-place", "in_place", is_flag=True, help="Replay on your files, not on layers."
    ),
    click.option("--allow-network", "network", is_flag=True, help="Replays reach the network."),
    click.option("--seed", type=int, default=0, help="Of the order of trials (0)."),
    click.option("--json", "as_json", is_flag=True, help="Print JSON."),
    click.option("-q", "--quiet", is_flag=True, help="No progress."),
    click.option("--ledger", metavar="FILE", help="Use this database."),
)


# Said anew with --resume, since they are not about the search.
_OUTPUT = frozenset({"as_json", "quiet", "ledger"})


def asked_of(replaying: Replaying) -> dict[str, object]:
    """What was asked for that a search which goes on must be told again."""
    return {k: v for k, v in replaying._asdict().items() if k not in _OUTPUT}


def asked_again(replaying: Replaying, stored: Mapping[str, object]) -> Replaying:
    """The options of a search that was cut short, with this time's output; a new budget counts."""
    kept = {k: v for k, v in stored.items() if k in Replaying._fields}
    new = {k: v for k in ("budget", "rounds") if (v := getattr(replaying, k)) is not None}
    output = {k: getattr(replaying, k) for k in _OUTPUT}
    return replaying._replace(**{**kept, **new, **output})


def end_as_by_interrupt() -> None:
    """Take a SIGTERM as Ctrl-C: the replay that runs is ended, and what is known is reported."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def replay_options(command: Callable[..., _Answer]) -> Callable[..., _Answer]:
    """Add the options to a command, which gets them as one record: `replaying`."""

    @functools.wraps(command)
    def gathered(**words: Any) -> _Answer:  # Any: whatever click made of each option
        chosen = Replaying(*(words.pop(name) for name in Replaying._fields))
        return command(replaying=chosen, **words)

    for option in reversed(_OPTIONS):
        gathered = option(gathered)
    return gathered


def scale_of(settings: Settings, requests_per_day: float | None = None) -> Scale:
    """Where this is, for carbon and money, and how often the program's work is done."""
    from advisor.report import Scale
    from frugalwatch.carbon.grid import resolve_or_world

    factor, warning = resolve_or_world(settings)
    if warning:
        click.echo(f"frugalwatch: {warning}", err=True)
    return Scale(requests_per_day, settings, factor)


def checked_metric(metric: str | None, tolerance: float | None) -> str | None:
    """The regular expression, if it is one. Raises click.UsageError."""
    import re

    if metric is None:
        if tolerance is not None:
            raise click.UsageError("--tolerance is the limit of a number: name it with --metric")
        return None
    try:
        re.compile(metric)
    except re.error as error:
        raise click.UsageError(f"--metric is no regular expression: {error}") from error
    return metric


def refuse_late_options(words: tuple[str, ...], what: str) -> None:
    """Raise click.UsageError where an option of ours was typed after the word that it belongs to.

    Everything after the first word is the command's own, so it would be taken for a command.
    """
    if words and words[0].startswith("-"):
        raise click.UsageError(f"options go before {what}: {words[0]} was taken for a command")
