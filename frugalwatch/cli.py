"""The command line: a list of commands, each imported only when it is named."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from frugalwatch._entry import ctrl_c_raises
from frugalwatch.errors import FrugalWatchError

# name -> (module, one line of help). The help stands here so that `--help` imports no command.
COMMANDS: dict[str, tuple[str, str]] = {
    "run": ("frugalwatch.commands.run", "Run a job and measure its energy and carbon."),
    "top": ("frugalwatch.commands.top", "Watch power, energy and carbon while a job runs."),
    "demo": ("frugalwatch.commands.demo", "Show the live screen with scripted data."),
    "runs": ("frugalwatch.commands.runs", "List the recorded runs."),
    "show": ("frugalwatch.commands.show", "Show one run in full."),
    "compare": ("frugalwatch.commands.compare", "Compare recorded runs side by side."),
    "profile": ("frugalwatch.commands.profile", "Show where inside a Python job its energy went."),
    "export": ("frugalwatch.commands.export", "Write runs as JSON or CSV."),
    "import": ("frugalwatch.commands.import_", "Bring in figures that another tracker recorded."),
    "doctor": ("frugalwatch.commands.doctor", "Say what this machine can measure, and what not."),
    "daemon": ("frugalwatch.commands.daemon", "Measure this machine all the time."),
    "metrics": ("frugalwatch.commands.metrics", "Energy as metrics, for Prometheus and others."),
    "send": ("frugalwatch.commands.send", "Send the ledger to the site's Prometheus server."),
    "fleet": ("frugalwatch.commands.fleet", "Show a run across nodes as one."),
    "merge": ("frugalwatch.commands.merge", "Put ledgers of several nodes together."),
    "calibrate": ("frugalwatch.commands.calibrate", "Teach the model this machine's power."),
    "advise": ("advisor.commands.advise", "Find out which change would save most, by measuring."),
    "verify": ("advisor.commands.verify", "Measure again whether a promised saving holds."),
    "advice": ("advisor.commands.advice", "List and show stored advice."),
    "capture": ("frugalwatch.commands.capture", "List, show and delete what --capture kept."),
    "purge": ("frugalwatch.commands.purge", "Delete what was stored, by age, run or command."),
    "recover": ("frugalwatch.commands.recover", "Settle runs whose supervisor or machine died."),
    "config": ("frugalwatch.commands.config", "Show and check the configuration."),
    "completion": ("frugalwatch.commands.completion", "Print the completion script of a shell."),
}


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports one when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        module = __import__(entry[0], fromlist=["command"])
        command = module.command
        assert isinstance(command, click.Command)
        if cmd_name != "run":  # which has no need to clean up before its job is there
            ctrl_c_raises()
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_) for name, (_, help_) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(args[0], COMMANDS, n=1)
            hint = f" Did you mean `{near[0]}`?" if near else ""
            raise click.UsageError(f"no command called {args[0]!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option("--version", is_flag=True, help="Print the version and exit.")
@click.option("--debug", is_flag=True, help="Show tracebacks instead of short errors.")
@click.pass_context
def cli(ctx: click.Context, version: bool, debug: bool) -> int | None:
    """Know the energy and carbon of an AI job, and how sure the figure is.

    \b
    frugalwatch                            the live screen, on a terminal
    frugalwatch run -- python train.py     measure a job
    frugalwatch runs                       what was measured so far
    frugalwatch show last                  the last run in full
    frugalwatch doctor                     what this machine can measure
    """
    ctx.obj = {"debug": debug}
    if version:
        from frugalwatch import __version__

        click.echo(f"frugalwatch {__version__}")
    elif ctx.invoked_subcommand is None:
        from frugalwatch.commands import looking, top

        if looking.has_screen():
            ctrl_c_raises()
            status: int = ctx.invoke(top.command)
            return status
        click.echo(ctx.get_help())
    return None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; returns the exit status. Errors go to stderr, in three lines."""
    argv = list(sys.argv[1:] if arguments is None else arguments)
    try:
        status = cli.main(args=argv, prog_name="frugalwatch", standalone_mode=False)
    except click.exceptions.Exit as exit_:
        return exit_.exit_code
    except click.exceptions.Abort:
        return 130
    except click.ClickException as problem:
        click.echo(_usage(problem), err=True)
        return problem.exit_code
    except FrugalWatchError as problem:
        if "--debug" in argv[:1]:
            raise
        click.echo(str(problem), err=True)
        return problem.exit_code
    except OSError as problem:
        if "--debug" in argv[:1]:
            raise
        where = f": {problem.filename}" if problem.filename else " (stdout?)"
        click.echo(f"error: {problem.strerror or problem}{where}", err=True)
        return 1
    except Exception as problem:  # the outermost edge: a person sees no traceback
        if "--debug" in argv[:1]:
            raise
        click.echo(_unexpected(problem, argv), err=True)
        return 1
    return status if isinstance(status, int) else 0


def _usage(problem: click.ClickException) -> str:
    """What was wrong with the words typed, and where to read what is right."""
    message = problem.format_message()
    message, _, near = message.partition(" Did you mean ")
    lines = [f"error: {message[:1].lower()}{message[1:].rstrip('.')}"]
    context = problem.ctx if isinstance(problem, click.UsageError) else None
    path = context.command_path if context else "frugalwatch"
    guess = f"did you mean {near.strip('?')}? " if near else ""
    return "\n".join([*lines, f"hint: {guess}{path} --help"])


def _unexpected(problem: Exception, argv: Sequence[str]) -> str:
    """A failure that nobody foresaw; a damaged ledger is the likeliest while reading one."""
    what = f"{type(problem).__name__}: {problem}".split("\n", 1)[0]
    if type(problem).__module__ == "sqlite3":
        return (
            f"error: the ledger could not be read: {problem}\n"
            "hint: `frugalwatch config show` names it; frugalwatch doctor looks at it"
        )
    command = next((word for word in argv if not word.startswith("-")), "")
    return (
        f"error: {what}\nThis is a mistake in FrugalWatch.\n"
        f"hint: frugalwatch --debug {command} ... shows where; please report it"
    )
