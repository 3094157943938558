"""Writes docs/reference/commands.md from the commands' own help. A test fails when it is stale.

.venv/bin/python tools/make_reference.py            --print: to stdout instead
"""

from __future__ import annotations

import sys
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
    root = _context(cli, "frugalwatch", None)
    parts.append(_section("frugalwatch", cli, root))
    for name in COMMANDS:
        command = cli.get_command(root, name)
        assert command is not None
        context = _context(command, name, root)
        parts.append(_section(f"frugalwatch {name}", command, context))
        if isinstance(command, click.Group):
            for sub_name in command.list_commands(context):
                sub = command.get_command(context, sub_name)
                assert sub is not None
                below = _context(sub, sub_name, context)
                parts.append(_section(f"frugalwatch {name} {sub_name}", sub, below))
    return "\n".join(parts)


def _context(command: click.Command, name: str, parent: click.Context | None) -> click.Context:
    """The context in which the command line itself would ask for help."""
    return command.make_context(
        name, [], parent=parent, resilient_parsing=True, terminal_width=_WIDTH
    )


def _section(title: str, command: click.Command, context: click.Context) -> str:
    return f"## {title}\n\n```\n{command.get_help(context)}\n```\n"


if __name__ == "__main__":
    if sys.argv[1:] == ["--print"]:
        print(reference(), end="")
    else:
        PAGE.write_text(reference())
        print(f"wrote {PAGE}")
