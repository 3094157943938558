"""`kill -9` at hundreds of random moments of a run, each checked against what was promised.

    python bench/kill_test.py                   200 kills, some minutes
    python bench/kill_test.py --kills 1000 --seed 7

Victims are the sampler, the supervisor, the job, and the first two together. After every kill the
job must have run to its end with its own status, the ledger must pass `PRAGMA integrity_check`, and
the energy of a simulated counter (0.7 s square wave, wraps every few seconds) must agree with the
truth. Exits with 1 if anything did not hold.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.frugalwatch.e2e.kills import VICTIMS, Trial, kill_many
from tests.frugalwatch.e2e.kit import Frugalwatch

_ROUND = 100  # runs on one ledger


def main() -> int:
    """Run the trials and print what held and what did not."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=200, help="how many (200)")
    parser.add_argument("--seed", type=int, default=1, help="of the random moments (1)")
    parser.add_argument("--at-once", type=int, default=4, help="runs at the same time (4)")
    options = parser.parse_args()
    begun = time.monotonic()
    trials: list[Trial] = []
    intact = True
    # A moment may come too early or too late for a victim; that is no kill, but is checked too.
    for number in itertools.count():
        missing = options.kills - sum(trial.hit for trial in trials)
        if missing <= 0:
            break
        victims = list(itertools.islice(itertools.cycle(VICTIMS), min(_ROUND, missing)))
        with tempfile.TemporaryDirectory(prefix="fw-kills-") as folder:
            frugalwatch = Frugalwatch(Path(folder))
            trials += kill_many(frugalwatch, victims, options.seed * 1000 + number, options.at_once)
            intact = intact and frugalwatch.intact()
    wrong = [trial for trial in trials if trial.wrong]
    for victim in VICTIMS:
        tries = [trial for trial in trials if trial.victim == victim]
        print(f"{victim:24} {sum(t.hit for t in tries):4} killed in {len(tries)} runs")
    print(f"integrity_check of every ledger: {'ok' if intact else 'FAILED'}")
    for trial in wrong:
        print(f"WRONG: {trial.victim} after {trial.after_s:.3f} s: {trial.wrong}")
    print(f"{len(wrong)} of {len(trials)} wrong, {time.monotonic() - begun:.0f} s")
    return 1 if wrong or not intact else 0


if __name__ == "__main__":
    sys.exit(main())
