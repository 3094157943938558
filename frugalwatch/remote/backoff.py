"""How long to wait after a failure: doubling, with jitter, so that nodes come back one by one."""

from __future__ import annotations

import random

FIRST_S = 1.0
LONGEST_S = 300.0


class Backoff:
    """Waits that grow with each failure in a row.

    Full jitter: each wait is drawn from the whole of 0 to the limit, which spreads ten thousand
    nodes best after an outage of their server; a tenth of the limit is the least, so that nobody
    hammers. What a server asks for by Retry-After is the least in its place.
    """

    def __init__(
        self,
        *,
        first_s: float = FIRST_S,
        longest_s: float = LONGEST_S,
        chance: random.Random | None = None,
    ) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._chance = chance or random.Random()
        self.failures = 0

    def failed(self, retry_after_s: float | None = None) -> float:
        """Seconds to wait now."""
        limit = min(self._longest_s, self._first_s * 2.0 ** min(self.failures, 32))
        self.failures += 1
        wait = self._chance.uniform(0.1 * limit, limit)
        if retry_after_s is None:
            return wait
        return retry_after_s + self._chance.uniform(0.0, 0.1 * max(retry_after_s, self._first_s))

    def worked(self) -> None:
        """Begin anew."""
        self.failures = 0
