"""Whether settings about budgets, alerts and masks can be used, for `config check` and `run`."""

from __future__ import annotations

import re

from frugalwatch.alerts.sinks.webhook_address import host_of
from frugalwatch.budgets.before_run import alert_problem, budget_problem
from frugalwatch.config.settings import Settings


def problems(settings: Settings) -> list[tuple[str, str, str]]:
    """What cannot be used: (key, why, what to do), empty if all is well."""
    found: list[tuple[str, str, str]] = []
    for text in settings.budget:
        problem = budget_problem(text, settings)
        if problem is not None:
            found.append(("budget", f"{text}: {problem.why}", problem.hint))
    for text in settings.alerts:
        problem = alert_problem(text)
        if problem is not None:
            found.append(("alerts", problem.why, problem.hint))
    if settings.daemon_budgets:
        from frugalwatch.budgets.day import usable

        found += [("daemon_budgets", problem, "") for problem in usable(settings)[1]]
    if settings.alert_webhook is not None and not host_of(settings.alert_webhook):
        found.append(("alert_webhook", "no http address", "write https://..."))
    return found + [("mask", why, "") for why in mask_problems(settings)]


def mask_problems(settings: Settings) -> list[str]:
    """Patterns that are no regular expressions: with one, all words of a command are masked."""
    wrong: list[str] = []
    for pattern in settings.mask:
        try:
            re.compile(pattern)
        except (re.error, RecursionError, OverflowError) as error:
            wrong.append(f"{pattern!r} is no regular expression ({error})")
    return wrong
