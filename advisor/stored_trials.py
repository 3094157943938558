"""Trials as the ledger keeps them, so that a search which was cut short can go on with them.

Only what was measured is taken up again. A look (stage "probe") leaves outputs in a folder that is
gone, so looks are made anew.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast  # Any: what JSON gives back

from advisor.footprint import Latency
from advisor.marginal import Marginal
from advisor.replay import Replay, State
from advisor.techniques.base import Change
from advisor.trials import Stage, Trial

_READ = """
SELECT stage, round, variant, change, state, exit_code, started_utc_ns, wall_ns, cpu_us, energy_uj,
       output_sha256, metric, details
FROM trial WHERE advice_id = ? AND verification_id IS NULL ORDER BY id
"""


@dataclass(frozen=True, slots=True)
class Earlier:
    """What an advice had done before it was cut short: all of it, and what can be taken up."""

    trials: tuple[Trial, ...] = ()

    @property
    def measured(self) -> tuple[Trial, ...]:
        """Rounds, not looks; the last trial of a key where a round was run twice."""
        return tuple({t.key: t for t in self.trials if t.stage != "probe"}.values())

    def without(self, taken: Sequence[Trial]) -> tuple[Trial, ...]:
        """Those that were made and did not count in the end."""
        known = {id(trial) for trial in taken}
        return tuple(trial for trial in self.trials if id(trial) not in known)


def details_of(trial: Trial) -> str:
    """What a trial's row holds beside its columns, as JSON."""
    replay = trial.replay
    return json.dumps(
        {
            "state": replay.state,
            "why": replay.why,
            "taken_s": trial.taken_s,
            "marginal": None if replay.marginal is None else asdict(replay.marginal),
            "latency": None if replay.latency is None else asdict(replay.latency),
            "peak_memory_bytes": replay.peak_memory_bytes,
        }
    )


def read_trials(conn: sqlite3.Connection, advice: int) -> Earlier:
    """Every trial that was stored of an advice, in order; those of `verify` are left out."""
    return Earlier(tuple(_trial(row) for row in conn.execute(_READ, (advice,)).fetchall()))


def _trial(row: Sequence[Any]) -> Trial:
    stage, number, variant, change, state, exit_code, started, wall, cpu, energy, sha, metric = row[
        :12
    ]
    details: Mapping[str, Any] = json.loads(row[12]) if row[12] else {}
    made = json.loads(change)
    marginal, latency = details.get("marginal"), details.get("latency")
    replay = Replay(
        state=cast(State, details.get("state", state)),
        exit_code=exit_code,
        started_utc_ns=started,
        wall_s=None if wall is None else wall / 1e9,
        cpu_s=None if cpu is None else cpu / 1e6,
        energy_j=None if energy is None else energy / 1e6,
        output="/dev/null",
        output_sha256=sha or "",
        errors="/dev/null",
        marginal=Marginal(**marginal) if marginal else None,
        why=str(details.get("why", "")),
        latency=Latency(**latency) if latency else None,
        peak_memory_bytes=details.get("peak_memory_bytes"),
    )
    return Trial(
        stage=cast(Stage, stage),
        round=number,
        variant=variant,
        change=Change(made.get("set", {}), tuple(made.get("unset", ())), made.get("switches", {})),
        replay=replay,
        metric=metric,
        taken_s=details.get("taken_s"),
    )
