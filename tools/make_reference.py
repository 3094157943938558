"""Writes docs/reference/commands.md from the commands' own help. A test fails when it is stale.

    .venv/bin/python tools/make_reference.py
"""

from __future__ import annotations

from pathlib import Path

import click

from frugalwatch.cli import COMMANDS, cli

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "commands.md"
_WIDTH = 90


def reference() -> str:
    """The whole page."""
    parts = [
        "# Commands\n",
        "Made from `--help` by `tools/make_reference.py`; do not edit.\n",
        "Exit statuses: 0 fine, 1 error, 2 usage. `run` gives the job's own: 128+N for signal N,"
        " 127 not found,\n126 not executable, and 125 with `--strict` if nothing was measured.\n",
    ]
    root = click.Context(cli, info_name="frugalwatch", terminal_width=_WIDTH)
    parts.append(_section("frugalwatch", cli, root))
    for name in COMMANDS:
        command = cli.get_command(root, name)
        assert command is not None
        context = click.Context(command, info_name=name, parent=root, terminal_width=_WIDTH)
        parts.append(_section(f"frugalwatch {name}", command, context))
        if isinstance(command, click.Group):
            for sub_name in command.list_commands(context):
                sub = command.get_command(context, sub_name)
                assert sub is not None
                below = click.Context(
                    sub, info_name=sub_name, parent=context, terminal_width=_WIDTH
                )
                parts.append(_section(f"frugalwatch {name} {sub_name}", sub, below))
    return "\n".join(parts)


def _section(title: str, command: click.Command, context: click.Context) -> str:
    return f"## {title}\n\n```\n{command.get_help(context)}\n```\n"


if __name__ == "__main__":
    PAGE.write_text(reference())
    print(f"wrote {PAGE}")
