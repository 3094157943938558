"""What processes inside a job tell, added to the stories of runs."""

from __future__ import annotations

import json

from tests.frugalwatch.report.kit import Story


class Inside:
    """One process in which the hook works. Seconds count from the start of the job."""

    def __init__(
        self,
        story: Story,
        pid: int = 7,
        *,
        second: float = 1.0,
        rank: int | None = None,
        world_size: int | None = None,
        program: str = "train.py",
    ) -> None:
        self.story, self.pid = story, pid
        self.rows = story.journal.recording.inside
        features = json.dumps(["torch"])
        place = (rank, rank, world_size)
        self.rows.process((pid, story.at(second), "3.12.1", program, *place, features))

    def count(self, unit: str, told: dict[float, int], samples_each: int | None = None) -> Inside:
        """How many so far, by second."""
        for second, done in told.items():
            samples = None if samples_each is None else done * samples_each
            self.rows.count((self.pid, unit, self.story.at(second), done, samples))
        return self

    def spent(self, second: float, **seconds: float) -> Inside:
        """Seconds spent so far, by activity."""
        for name, amount in seconds.items():
            self.rows.activity((self.pid, name, self.story.at(second), round(amount * 1e9)))
        return self

    def times(self, unit: str, second: float, buckets: dict[int, int]) -> Inside:
        told = json.dumps(sorted(buckets.items()))
        self.rows.times((self.pid, unit, self.story.at(second), told))
        return self
