"""How many processes a DataLoader loads with.

None means that the program waits while each batch is made. Workers save that waiting, not CPU time:
what comes of it is a machine that is on for a shorter time. And where making a batch is cheap, the
workers cost more than they bring.
"""

from __future__ import annotations

from advisor.techniques.base import Applicability, Change, Claim, Facts, Variant

# Of the wall time; below it there is nothing to gain.
_WAITING_MATTERS = 0.05
_MOST_WORKERS = 8


class LoaderWorkers:
    """Workers where the program waits for its data, none where that is for nothing."""

    name = "DataLoader workers"

    def applies(self, facts: Facts) -> Applicability:
        if facts.inside is None or not facts.inside.loaders:
            return Applicability(False, "the program uses no torch DataLoader")
        waiting = facts.inside.shares.get("data_wait", 0.0)
        workers = max(each.workers for each in facts.inside.loaders)
        share = f"{waiting * 100:.0f} % of its time waits for data"
        if workers:
            return Applicability(True, f"{_workers(workers)}; {share}")
        if waiting < _WAITING_MATTERS:
            return Applicability(False, f"only {share}", possible=True)
        if facts.cpus < 2:
            return Applicability(False, "only one CPU can be used")
        return Applicability(True, f"no worker, and {share}")

    def variants(self, facts: Facts) -> tuple[Variant, ...]:
        assert facts.inside is not None
        now = max(each.workers for each in facts.inside.loaders)
        most = min(facts.cpus, _MOST_WORKERS)
        wanted = (0,) if now else tuple(sorted({1, most} if most > 1 else {1}))
        return tuple(self._variant(count) for count in wanted)

    def _variant(self, count: int) -> Variant:
        claim: Claim = "time" if count else "energy"
        settings = {"workers": count, "persistent": True} if count else {"workers": 0}
        keep = ", persistent_workers=True" if count else ""
        return Variant(
            name=_workers(count),
            technique=self.name,
            change=Change(switches={"loader": settings}),
            claim=claim,
            for_good="give each loader this number of processes:",
            code=f"DataLoader(..., num_workers={count}{keep})",
            risk="each worker holds a copy of the dataset, and random augmentation draws other"
            " numbers"
            if count
            else "random augmentation draws other numbers",
        )


def _workers(count: int) -> str:
    return f"{count or 'no'} DataLoader worker{'' if count == 1 else 's'}"
