"""`--profile [HZ]`: an option whose number may be left out, before a command that has no number."""

from __future__ import annotations

import os

import click

DEFAULT_HZ = 100.0
_NAME = "--profile"


class TakesProfile(click.Command):
    """Lets `run --profile python train.py` mean the usual rate, and `--profile 200 python ...` 200.

    Click by itself would take `python` for the rate.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        at = self._find(args)
        if at is not None and not (at + 1 < len(args) and _is_number(args[at + 1])):
            args = [*args[:at], f"{_NAME}={DEFAULT_HZ:g}", *args[at + 1 :]]
        return super().parse_args(ctx, args)

    def _find(self, args: list[str]) -> int | None:
        """Where our option stands among those before the command, which may have such a one too."""
        takes_value = {
            name
            for option in self.params
            if isinstance(option, click.Option) and not option.is_flag and not option.count
            for name in (*option.opts, *option.secondary_opts)
        }
        at = 0
        while at < len(args) and args[at].startswith("-") and args[at] != "--":
            if args[at] == _NAME:
                return at
            at += 2 if args[at] in takes_value else 1
        return None


def ask_for_profile(hz: float) -> dict[str, object]:
    """What to ask of the hook. Raises UsageError if the rate or the place for it will not do."""
    if not 1 <= hz <= 1000:
        raise click.UsageError(f"--profile {hz:g}: 1 to 1000 samples a second")
    from frugalwatch.profile.folder import make_profiles_folder, profiles_folder

    folder = make_profiles_folder(os.environ)
    if folder is None:
        where = profiles_folder(os.environ)
        raise click.UsageError(f"--profile: {where} is no folder of this user's alone")
    return {"hz": hz, "folder": folder}


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
