"""`frugalwatch demo`: the live screen with recorded data, for a machine without sensors or jobs."""

from __future__ import annotations

import click

from frugalwatch.commands.looking import has_screen, print_lines, ways_to_look

LABEL = "DEMO, scripted data"


@click.command()
@ways_to_look
def command(*, plain: bool, once: bool, symbols: str) -> int:
    """Show the live screen with scripted data.

    \b
    frugalwatch demo               the screen that `frugalwatch top` opens
    frugalwatch demo --plain       a line a second
    frugalwatch demo --once        one line

    It plays a recording of scripted devices into a ledger of its own, which is thrown away at the
    end; DEMO stands on every view and line. Your own ledger is neither read nor written.
    """
    from frugalwatch.demo.player import SETTINGS
    from frugalwatch.demo.process import demo_ledger
    from frugalwatch.screen.reading import LedgerWatch

    with demo_ledger() as ledger:
        watch = LedgerWatch(ledger, SETTINGS)
        if plain or once or not has_screen():
            try:
                return print_lines(watch, None, once=once, label=LABEL)
            finally:
                watch.close()
        from frugalwatch.screen.app import open_screen

        return open_screen(watch, number=None, symbols=symbols, label=LABEL)
