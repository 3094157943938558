"""A command that names runs: `-2` is a run, the one before the last, and no option."""

from __future__ import annotations

import click


class NamesRuns(click.Command):
    """Lets `frugalwatch show -2` mean the run before the last, without a `--`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        end = args.index("--") if "--" in args else len(args)
        runs = [word for word in args[:end] if word[:1] == "-" and word[1:].isdigit()]
        if runs:
            others = [word for word in args[:end] if word not in runs]
            args = [*others, "--", *runs, *args[end + 1 :]]
        return super().parse_args(ctx, args)
