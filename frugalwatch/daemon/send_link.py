"""The sampler's end of the process that sends the daemon's ledger to the site's server.

A program of its own, for the same reason as that of the metrics: it uses the ledger through SQLite.
The sampler does nothing for it, and a server that hangs hangs nobody else.
"""

from __future__ import annotations

from collections.abc import Mapping

from frugalwatch.daemon.child import Child, News, spawned
from frugalwatch.daemon.metrics_link import program


class SendLink:
    """Sends `ledger` as `frugalwatch send --follow` does, from now on."""

    def __init__(self, ledger: str, environ: Mapping[str, str]) -> None:
        arguments = ("send", "--follow", "--beside-daemon", "--ledger", ledger)
        self._child = Child(spawned((*program(), *arguments), environ))
        self._news = News()

    def tend(self) -> str | None:
        """Start the process if there is none, once its pause is over; why the last one ended.

        The same reason is not said twice in a row.
        """
        return self._news.of(self._child.tend())

    def close(self) -> None:
        """Let the process end."""
        self._child.close()
