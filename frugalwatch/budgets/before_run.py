"""What is checked of budgets and alerts before a job starts, where any were asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from frugalwatch.config.load import COMMAND_LINE, Loaded
from frugalwatch.config.settings import Settings
from frugalwatch.errors import UsageError


class Problem(NamedTuple):
    """Why a budget or an alert can't be judged, and what to type."""

    why: str
    hint: str


def check_asked(loaded: Loaded) -> tuple[Settings, list[str]]:
    """The settings with only those budgets and alerts that can be judged, and what to warn of.

    What was typed and can't be judged raises UsageError: better no start than a budget that holds
    nothing back. What a file or a variable says never stops a job: it is left out, and said.
    """
    settings = loaded.settings
    if loaded.origins["on_exceed"] == COMMAND_LINE and not settings.budget:
        raise UsageError("--on-exceed needs a --budget", hint="--budget 0.5kWh")
    if loaded.origins["alerts"] == COMMAND_LINE and not settings.hook:
        raise UsageError("--alert needs the hook, which is switched off")
    warnings = _mask_warnings(settings)
    kept: dict[str, tuple[str, ...]] = {}
    looks: tuple[tuple[str, str, Callable[[str], Problem | None]], ...] = (
        ("budget", "--budget", lambda text: budget_problem(text, settings)),
        ("alerts", "--alert", alert_problem),
    )
    for key, option, problem_of in looks:
        good: list[str] = []
        for text in dict.fromkeys(getattr(settings, key)):
            problem = problem_of(text)
            if problem is None:
                good.append(text)
            elif loaded.origins[key] == COMMAND_LINE:
                what = f"{option} {text}: {problem.why}; the job was not started"
                raise UsageError(what, hint=problem.hint)
            else:
                hint = f" (hint: {problem.hint})" if problem.hint else ""
                warnings.append(f"configuration: {key} {text}: {problem.why}: left out{hint}")
        kept[key] = tuple(good)
    return settings._replace(budget=kept["budget"], alerts=kept["alerts"]), warnings


def _mask_warnings(settings: Settings) -> list[str]:
    if not settings.mask:
        return []
    from frugalwatch.budgets.settings_check import mask_problems

    return [
        f"configuration: mask: {problem}: every word of the command is masked"
        for problem in mask_problems(settings)
    ]


def budget_problem(text: str, settings: Settings) -> Problem | None:
    """Why this can't be a budget of a run with these settings; None if it can."""
    from frugalwatch.budgets.grammar import BadBudgetError, parse_budget
    from frugalwatch.budgets.judge import refusal

    try:
        refused = refusal(parse_budget(text), settings)
    except BadBudgetError as error:
        return Problem(str(error), error.hint)
    return None if refused is None else Problem(refused.why, refused.hint)


def alert_problem(text: str) -> Problem | None:
    """Why this can't be an alert; None if it can."""
    from frugalwatch.alerts.grammar import BadAlertError, parse_alert

    try:
        parse_alert(text)
    except BadAlertError as error:
        return Problem(str(error), error.hint)
    return None
