"""`frugalwatch completion SHELL`: the script that completes our commands, to be sourced."""

from __future__ import annotations

import click


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the completion script of a shell.

    \b
    bash   eval "$(frugalwatch completion bash)"     in ~/.bashrc
    zsh    eval "$(frugalwatch completion zsh)"      in ~/.zshrc
    fish   frugalwatch completion fish | source      in ~/.config/fish/config.fish
    """
    from click.shell_completion import get_completion_class

    from frugalwatch.cli import cli

    kind = get_completion_class(shell)
    assert kind is not None  # click knows the three shells above
    if shell == "bash":  # click would ask the installed bash for its version, which may be absent
        kind._check_version = staticmethod(lambda: None)  # type: ignore[attr-defined]
    click.echo(kind(cli, {}, "frugalwatch", "_FRUGALWATCH_COMPLETE").source())
