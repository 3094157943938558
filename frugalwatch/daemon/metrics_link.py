"""The sampler's end of the process that serves metrics.

A program of its own, not a fork: it reads the ledger through SQLite, whose state must not be shared
with the process that writes it. The sampler does nothing for a scrape.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

from frugalwatch.daemon.child import Child, News, spawned
from frugalwatch.ledger.quarantine import identity


class MetricsLink:
    """`address` as in `frugalwatch metrics --serve`."""

    def __init__(self, address: str, ledger: str, environ: Mapping[str, str]) -> None:
        self.address = address
        self._ledger = ledger
        self._file = identity(ledger)
        arguments = ("metrics", "--beside-daemon", "--serve", address, "--ledger", ledger)
        self._start = spawned((*program(), *arguments), environ)
        self._child = Child(self._start)
        self._news = News()

    def tend(self) -> str | None:
        """Start the process if there is none, once its pause is over; why the last one ended.

        The same reason is not said twice in a row: a port that another program holds stays so.
        The process has given up the right to open files: with another ledger another one starts.
        """
        file = identity(self._ledger)
        if file != self._file and file is not None:
            if self._file is not None:
                self._child.close()
                self._child = Child(self._start)
            self._file = file
        return self._news.of(self._child.tend())

    def close(self) -> None:
        """Let the process end."""
        self._child.close()


def program() -> tuple[str, ...]:
    """How this program was started: the interpreter, and what is ours of its words."""
    words = sys.orig_argv[1:]
    if "daemon" in words:
        return sys.executable, *words[: words.index("daemon")]
    return sys.executable, "-m", "frugalwatch"
