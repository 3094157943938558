"""What `advise` is told about a workload that is no command, and the workload that it is then."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from frugalwatch.errors import UsageError

if TYPE_CHECKING:
    from advisor.replay import Isolation
    from advisor.workload import Workload
    from advisor.workloads.driven import Feeding
    from frugalwatch.config.settings import Settings

_Answer = TypeVar("_Answer")


class Fed(NamedTuple):
    """What was typed for a model file, a capture or a workload file; None where nothing was."""

    inputs: str | None
    python: str | None
    batch: int | None
    dims: str | None
    calls: int | None
    train: bool

    def feeding(self) -> Feeding:
        from advisor.workloads.driven import Feeding

        return Feeding(
            self.inputs, self.python, self.batch, self.dims or "", self.calls, self.train
        )


_OPTIONS = (
    click.option("--inputs", metavar="FILE", help="Of a model file: .npz, .npy, a folder of them."),
    click.option("--python", metavar="PATH", help="What runs a model file (python, else ours)."),
    click.option("--batch", type=click.IntRange(1), help="Rows of --inputs for a call (1)."),
    click.option("--dims", metavar="NAME=N,...", help="Open sizes where inputs are made up."),
    click.option("--calls", type=click.IntRange(1), help="Of a model, in each replay."),
    click.option("--train", is_flag=True, help="Replay train() of a workload.py."),
)


def workload_options(command: Callable[..., _Answer]) -> Callable[..., _Answer]:
    """Add the options to a command, which gets them as one record: `fed`."""

    @functools.wraps(command)
    def gathered(**words: Any) -> _Answer:  # Any: whatever click made of each option
        chosen = Fed(*(words.pop(name) for name in Fed._fields))
        return command(fed=chosen, **words)

    for option in reversed(_OPTIONS):
        gathered = option(gathered)
    return gathered


class AdviseCommand(click.Command):
    """Lets options follow a file or a capture, which cannot be a command with options of its own.

    `advise model.onnx --inputs data.npz`, but `advise -- python infer.py --inputs mine`.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        from advisor.workloads.recognise import takes_late_options

        try:
            found, _, _ = self.make_parser(ctx).parse_args(list(args))
        except click.UsageError:
            found = {}  # said again below
        words = found.get("command")
        if isinstance(words, (list, tuple)) and takes_late_options(tuple(words)):
            ctx.allow_interspersed_args = True
        return super().parse_args(ctx, args)


def typed_workload(
    words: tuple[str, ...],
    fed: Fed,
    isolation: Isolation,
    stdin_file: str | None,
    settings: Settings,
) -> tuple[Workload, str | None]:
    """What the words name, and the pattern of the number that its own `evaluate` prints, if any.

    Raises click.UsageError and FrugalWatchError.
    """
    from advisor.commands.common import refuse_late_options
    from advisor.workload import from_command, refuse_unrepeatable_stdin
    from advisor.workloads.recognise import recognise

    kind = recognise(words)
    if kind != "command" and kind != "run" and kind != "advice":  # noqa: PLR1714 - mypy narrows it
        _refuse_more(words, kind)
        from advisor.workloads.driven import drive

        driven = drive(kind, words[0], fed.feeding(), isolation, dict(os.environ))
        return driven.workload, driven.metric
    _refuse_fed(fed)
    if stdin_file is None:
        refuse_unrepeatable_stdin()
    if kind == "command":
        return from_command(words, dict(os.environ), stdin_file), None
    refuse_late_options(words[1:], f"the {kind}")
    if len(words) > 1:  # a program that is called like that, perhaps
        return from_command(words, dict(os.environ), stdin_file), None
    if kind == "advice":
        return _of_advice(words[0], stdin_file, settings), None
    return _of_run(words[0], stdin_file, settings), None


def _refuse_more(words: tuple[str, ...], kind: str) -> None:
    if len(words) > 1:
        what = "a capture" if kind == "capture" else "a model or a workload file"
        raise UsageError(
            f"{what} stands alone: {' '.join(words[1:])[:60]!r} is too much",
            hint=f"a command that reads {words[0]}: frugalwatch advise -- python PROGRAM",
        )


def _refuse_fed(fed: Fed) -> None:
    """Raise UsageError for an option of model files beside a command."""
    for name, value in fed._asdict().items():
        if value:
            raise UsageError(
                f"--{name} is for a model file, a capture or a workload.py",
                hint="a command has its inputs already; its options go after it",
            )


def _of_run(word: str, stdin_file: str | None, settings: Settings) -> Workload:
    from advisor.workload import from_run
    from frugalwatch.ledger.current import open_database
    from frugalwatch.ledger.queries import find_run

    with open_database(settings, os.environ) as database:
        run = find_run(database, word)
        cwd = next(iter(database.query("SELECT cwd FROM run WHERE id = ?", [run.number])))["cwd"]
    return from_run(run, str(cwd), dict(os.environ), stdin_file)


def _of_advice(word: str, stdin_file: str | None, settings: Settings) -> Workload:
    """What that advice was made for, once more."""
    from advisor.workload import from_advice
    from frugalwatch.ledger.advice import find_advice
    from frugalwatch.ledger.paths import ledger_path, locate
    from frugalwatch.ledger.reading import open_reader

    conn = open_reader(locate(ledger_path(settings, os.environ), os.environ).ledger)
    try:
        stored, _ = find_advice(conn, word)
    finally:
        conn.close()
    return from_advice(stored, dict(os.environ), stdin_file)
