"""`frugalwatch config show|check`: what is set, where that came from, and what is wrong with it."""

from __future__ import annotations

import json
import os

import click

from frugalwatch.config.load import Loaded, Problem, load

SHOW_SCHEMA = "frugalwatch.config/1"
CHECK_SCHEMA = "frugalwatch.config-check/1"


@click.group(name="config")
def command() -> None:
    """Show and check the configuration.

    Strongest first: options of a command, FRUGALWATCH_* variables, ./frugalwatch.toml,
    [tool.frugalwatch] in ./pyproject.toml, config.toml in your own configuration folder.
    """


@command.command()
@click.option("--json", "as_json", is_flag=True, help=f"Print JSON ({SHOW_SCHEMA}).")
def show(as_json: bool) -> None:
    """Print every setting, its value, and where the value came from."""
    loaded = _load()
    values = {key: _shown(key, value) for key, value in loaded.settings._asdict().items()}
    if as_json:
        settings = {
            key: {"value": value, "origin": loaded.origins[key]} for key, value in values.items()
        }
        problems = [_as_json(problem) for problem in loaded.problems]
        click.echo(_json({"schema": SHOW_SCHEMA, "settings": settings, "problems": problems}))
        return
    texts = {key: _text(value) for key, value in values.items()}
    key_width = max(map(len, texts))
    value_width = min(24, max(map(len, texts.values())))
    for key, text in texts.items():
        click.echo(f"{key:<{key_width}}  {text:<{value_width}}  {loaded.origins[key]}")
    for problem in loaded.problems:
        click.echo(f"warning: {problem}", err=True)


@command.command()
@click.option("--json", "as_json", is_flag=True, help=f"Print JSON ({CHECK_SCHEMA}).")
@click.pass_context
def check(ctx: click.Context, as_json: bool) -> None:
    """Print every problem of the configuration. Exit status 2 if there is one, else 0."""
    loaded = _load()
    problems = [*loaded.problems, *_unusable(loaded)]
    read = [file.name for file in loaded.files if file.table is not None]
    if as_json:
        listed = [_as_json(problem) for problem in problems]
        click.echo(_json({"schema": CHECK_SCHEMA, "files": read, "problems": listed}))
    else:
        for problem in problems:
            click.echo(str(problem))
        sources = ", ".join(read) if read else "no configuration file"
        count = "no problem" if not problems else f"{len(problems)} problem"
        click.echo(f"{count}{'s' if len(problems) > 1 else ''} ({sources})", err=bool(problems))
    if problems:
        ctx.exit(2)


def _load() -> Loaded:
    return load({}, cwd=_working_folder(), environ=os.environ)


def _working_folder() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:  # somebody removed the folder that we stand in
        return "/nonexistent"


def _unusable(loaded: Loaded) -> list[Problem]:
    """Values that are well formed and name something that does not exist."""
    from frugalwatch.budgets import settings_check as of_budgets
    from frugalwatch.carbon.settings_check import problems

    found = [*problems(loaded.settings, os.environ), *of_budgets.problems(loaded.settings)]
    return [
        Problem(loaded.origins[key], key, f"{why}; {hint}" if hint else why)
        for key, why, hint in found
    ]


def _shown(key: str, value: object) -> object:
    """The value as it may be printed: an address without what may be secret in it."""
    if key == "live_grid_url" and isinstance(value, str) and "@" in value:
        scheme, _, rest = value.partition("://")
        return f"{scheme}://***@{rest.rpartition('@')[2]}"
    if key == "alert_webhook" and isinstance(value, str):
        from frugalwatch.alerts.sinks.webhook_address import shown

        return shown(value)
    return value


def _text(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "-"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _as_json(problem: Problem) -> dict[str, str | None]:
    return {
        "file": problem.file,
        "key": problem.key or None,
        "message": problem.message,
        "nearest": problem.near or None,
    }


def _json(document: dict[str, object]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False)
