"""`frugalwatch run -- COMMAND`: run a job, unharmed and unchanged, and say what it used."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from frugalwatch.commands.hook_options import hook_options, take_hook_options
from frugalwatch.commands.profile_option import TakesProfile
from frugalwatch.config.load import load

if TYPE_CHECKING:
    from frugalwatch.config.settings import Settings

# Our own failure, where --strict asks to be told; never used for the job's.
_STRICT_FAILURE = 125
# Which advice a job runs with: in its environment, and so in the ledger.
ADVICE_VARIABLE = "FRUGALWATCH_ADVICE"


@click.command(
    cls=TakesProfile,
    context_settings={"allow_interspersed_args": False, "help_option_names": ["-h", "--help"]},
)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.option("--interval", "interval_s", type=float, help="Seconds between two looks (1).")
@click.option("--zone", help="Where the electricity comes from: FR, US-CA, WORLD.")
@click.option("--cloud-region", help="A cloud region instead of a zone: aws:eu-west-3.")
@click.option("--pue", type=float, help="Facility energy over IT energy (1).")
@click.option("--price", "price_per_kwh", type=float, help="Price of a kWh.")
@click.option("--currency", help="Its currency (EUR).")
@click.option(
    "--summary",
    type=click.Choice(["auto", "block", "line", "none"]),
    help="Block on a terminal, line in a pipe (auto).",
)
@click.option("-q", "--quiet", is_flag=True, help="No summary and no warnings.")
@click.option("--json", "json_target", metavar="FILE", help="Write the run object; - is stdout.")
@click.option("--ledger", metavar="FILE", help="Record in this database.")
@click.option("--no-hook", is_flag=True, help="Leave the job's environment exactly as it is.")
@click.option(
    "--cgroup/--no-cgroup",
    default=None,
    help="Count CPU time in a control group of the job's own (no).",
)
@click.option("--cpu-model", type=click.Choice(["table", "codecarbon"]), help="CPU power model.")
@click.option("--source-off", multiple=True, help="Do not use this power source (repeatable).")
@click.option("--wait-descendants", is_flag=True, help="Wait for what the job leaves running.")
@click.option("--with", "advice", metavar="ADVICE", help="Apply this advice: A1, or A1.2.")
@click.option(
    "--budget",
    multiple=True,
    metavar="AMOUNT",
    help="Say when the job has used more: 0.5kWh, 200gCO2e, 2EUR, none (repeatable).",
)
@click.option(
    "--on-exceed",
    type=click.Choice(["warn", "term"]),
    help="What a --budget does: warn, or send the job SIGTERM too (warn).",
)
@click.option(
    "--alert",
    "alerts",
    multiple=True,
    metavar="FIGURE>VALUE",
    help="Say when a figure is crossed: 'p95>200ms', 'Wh/request>0.002' (repeatable).",
)
@hook_options
@click.option("--strict", is_flag=True, help="Exit 125 if the job ran but was not measured.")
def command(  # noqa: PLR0917 - click passes every option by its name
    command: tuple[str, ...],
    quiet: bool,
    json_target: str | None,
    no_hook: bool,
    cgroup: bool | None,
    source_off: tuple[str, ...],
    wait_descendants: bool,
    advice: str | None,
    strict: bool,
    **settings: object,
) -> int:
    """Run COMMAND and measure its energy and carbon.

    \b
    frugalwatch run -- python train.py --epochs 10
    frugalwatch run --zone FR --json run.json -- ./job.sh

    The job gets its input, output, terminal, signals and environment as without us, and its exit
    status is ours: 128+N for signal N, 127 not found, 126 not executable.
    """
    argv = command[1:] if command[0] == "--" else command
    if not argv:
        raise click.UsageError("no command given")
    chosen: dict[str, object] = {k: v for k, v in settings.items() if v != ()}
    asked_of_hook = take_hook_options(chosen)
    if no_hook:
        chosen["hook"] = False
    if cgroup is not None:
        chosen["cgroup"] = "auto" if cgroup else "off"
    if source_off:
        chosen["sources_off"] = ",".join(source_off)
    cwd = _cwd()
    loaded = load(chosen, cwd=cwd, environ=os.environ)
    problems = [p for p in loaded.problems if p.file == "command line"]
    if problems:  # typed just now: better to say so than to run with something else
        raise click.UsageError("; ".join(str(p) for p in problems))
    if asked_of_hook and not loaded.settings.hook:
        raise click.UsageError(
            f"--{next(iter(asked_of_hook))} needs the hook, which is switched off"
        )

    from frugalwatch.ledger.paths import ledger_path
    from frugalwatch.supervisor.environment import caller_environment
    from frugalwatch.supervisor.sampler_link import see_off
    from frugalwatch.supervisor.supervise import Request, supervise

    warnings = [f"configuration: {problem}" for problem in loaded.problems]
    loaded = loaded._replace(settings=_without_none(loaded.settings))
    environment, run_settings = caller_environment(), loaded.settings
    if _asks_for_checks(run_settings):
        from frugalwatch.budgets.before_run import check_asked

        run_settings, more = check_asked(loaded)
        warnings += more
    if advice is not None:
        environment, run_settings = _with_advice(advice, environment, run_settings, asked_of_hook)
    capture = _begin_capture(asked_of_hook, argv, cwd, environment, run_settings)
    outcome = supervise(
        Request(
            argv=argv,
            cwd=cwd,
            environment=environment,
            settings=run_settings,
            ledger_path=ledger_path(loaded.settings, os.environ),
            warnings=tuple(warnings),
            wait_descendants=wait_descendants,
            keep_stdout=json_target is not None and json_target.startswith(("-", "/dev/")),
            hook=asked_of_hook,
            quiet=quiet,
        )
    )
    try:
        from frugalwatch.report.at_exit import report_outcome

        measured = report_outcome(
            outcome,
            style=loaded.settings.summary,
            quiet=quiet,
            json_target=json_target,
            environ=os.environ,
        )
    except Exception as error:  # noqa: BLE001 - the job has run, and its status is still owed
        measured = False
        os.write(2, f"frugalwatch: no summary: {error!r}\n".encode(errors="replace"))
    see_off(outcome.sampler_pid)
    _end_captures(capture, outcome.exit_code, "none" if quiet else loaded.settings.summary)
    _end_profiles(loaded.settings)
    if strict and outcome.end is not None and not measured:
        return _STRICT_FAILURE
    return outcome.exit_code


def _without_none(settings: Settings) -> Settings:
    """`--budget none` and `--alert none` switch off what the configuration sets."""
    if "none" in settings.budget:
        settings = settings._replace(budget=(), on_exceed="warn")
    return settings._replace(alerts=()) if "none" in settings.alerts else settings


def _asks_for_checks(settings: Settings) -> bool:
    """Whether anything was set whose rules are not worth loading for every run."""
    asked = settings.budget or settings.alerts or settings.mask
    return bool(asked) or settings.on_exceed != "warn"


def _with_advice(
    name: str, environment: dict[str, str], settings: Settings, asked_of_hook: dict[str, object]
) -> tuple[dict[str, str], Settings]:
    """The environment with a stored advice applied, and settings that record what it changed.

    What it switches inside the program is added to `asked_of_hook`. Raises UsageError before
    anything was started if there is no such advice, or the hook is off that it needs.
    """
    from frugalwatch.errors import FrugalWatchError, UsageError
    from frugalwatch.ledger.advice import find_advice, recommended
    from frugalwatch.ledger.paths import ledger_path, locate
    from frugalwatch.ledger.reading import open_reader

    try:
        connection = open_reader(locate(ledger_path(settings, os.environ), os.environ).ledger)
        try:
            stored, number = find_advice(connection, name)
        finally:
            connection.close()
        change = recommended(stored, number)
    except FrugalWatchError as problem:
        raise UsageError(
            f"--with {name}: {problem.message}; the job was not started",
            why=problem.why,
            hint=problem.hint,
        ) from problem
    if change.switches:
        if not settings.hook:
            raise UsageError(
                f"--with {name} needs the hook, which is switched off; the job was not started"
            )
        asked_of_hook["switches"] = dict(change.switches)
    applied = change.applied_to(environment)
    applied[ADVICE_VARIABLE] = f"{stored.name}.{change.number}"
    allowed = (*settings.environment_allow, ADVICE_VARIABLE, *change.set)
    return applied, settings._replace(environment_allow=allowed)


def _begin_capture(
    asked: dict[str, object],
    argv: tuple[str, ...],
    cwd: str,
    environment: dict[str, str],
    settings: Settings,
) -> str | None:
    """Make the folder of a capture that was asked for, and tell the hook of it; None: none was."""
    if not isinstance(asked.get("capture"), tuple):
        return None
    from frugalwatch.captures.around_run import begin_capture
    from frugalwatch.captures.limits import Limits

    limits = asked["capture"]
    assert isinstance(limits, Limits)
    options = begin_capture(limits, argv, cwd, environment, settings)
    asked["capture"] = options
    return str(options["folder"])


def _end_captures(capture: str | None, exit_code: int, style: str) -> None:
    """Say what was captured, and delete captures that have expired."""
    from frugalwatch.config.paths import state_dir

    if capture is not None:
        from frugalwatch.captures.around_run import end_capture

        block = style == "block" or (style == "auto" and os.isatty(2))
        end_capture(capture, exit_code, quiet=style == "none", block=block)
    elif os.path.isdir(os.path.join(state_dir(os.environ), "captures")):
        from frugalwatch.captures.folder import captures_folder, purge_expired

        purge_expired(captures_folder(os.environ))


def _end_profiles(settings: Settings) -> None:
    """Delete profiles that have expired."""
    from frugalwatch.config.paths import state_dir

    if os.path.isdir(os.path.join(state_dir(os.environ), "profiles")):
        import time

        from frugalwatch.profile.folder import purge_expired

        purge_expired(os.environ, settings.profile_days, time.time())


def _cwd() -> str:
    try:
        return os.getcwd()
    except OSError:  # the folder was removed; the job may still want to run
        return os.environ.get("PWD", "/")
