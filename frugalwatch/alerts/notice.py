"""What leaves the machine, or reaches a command, when something was crossed: `frugalwatch.alert/1`.

It names the run by its key and the machine by its name. The command line, folders, users and
environment stay here.
"""

from __future__ import annotations

import time
from typing import NamedTuple

SCHEMA = "frugalwatch.alert/1"
_LONGEST = 1000


class Notice(NamedTuple):
    """One thing that happened. `value` and `limit` are in `unit`: J, g, s, EUR; None: no figure."""

    kind: str
    subject: str
    message: str
    run_id: str
    value: float | None = None
    limit: float | None = None
    unit: str = ""

    def as_json(self, number: int, host: str, now_utc_s: float | None = None) -> dict[str, object]:
        """The document; `id` is the same however often it is delivered."""
        now = time.time() if now_utc_s is None else now_utc_s
        return {
            "schema": SCHEMA,
            "id": f"{self.run_id}-{number}",
            "kind": self.kind,
            "subject": self.subject[:_LONGEST],
            "message": self.message[:_LONGEST],
            "run_id": self.run_id,
            "host": host,
            "utc": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now)),
            "value": self.value,
            "limit": self.limit,
            "unit": self.unit or None,
        }
