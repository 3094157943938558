"""Minutes and shares: what is split adds up, and no share looks measured or surer than it is."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.base import Device, ProcessUtilization, Reading
from frugalwatch.daemon.attribution import Attribution, Figures, above_idle, named
from frugalwatch.daemon.processes import ProcessWatch
from frugalwatch.ledger.minutes import Minute, MinuteRows, Share
from tests.frugalwatch.daemon.test_processes import Proc

SECOND = 1_000_000_000
CPU = Device("rapl:package-0", "cpu", "package", "measured", "die", "intel-rapl")
GPU = Device("nvidia:GPU-1", "gpu", "GPU", "measured", "board", "nvml")


class Kept(MinuteRows):
    """Keeps rows for the test to see."""

    def __init__(self) -> None:
        super().__init__()
        self.minutes: list[Minute] = []
        self.shares: list[Share] = []

    def add(self, minutes: list[Minute], shares: list[Share]) -> None:  # type: ignore[override]
        self.minutes += minutes
        self.shares += shares


class Scene:
    """A minute on a machine with one process that the test moves."""

    def __init__(self, folder: Path) -> None:
        self.proc, self.rows = Proc(folder), Kept()
        self.attribution = Attribution(self.rows, ProcessWatch(str(folder)))

    def minute(self, device: Device, energy_j: float, ticks: int, busy_s: float) -> None:
        """60 s with so much energy, of which `train` worked `ticks` and the CPUs `busy_s`."""
        self.proc.put(10, "train", 0)
        self.attribution.reading(device, 0, Reading(device.key, 0, 0))
        self.attribution.close_minute(0)
        self.proc.put(10, "train", ticks)
        self.attribution.reading(device, 0, Reading(device.key, 60 * SECOND, int(energy_j * 1e6)))
        self.attribution.close_minute(int(busy_s * 1e6))

    def share(self, name: str) -> Share:
        (found,) = [s for s in self.rows.shares if (s.kind, s.name) == ("process", name)]
        return found


def test_shares_and_what_nobody_was_seen_for_add_up_to_the_energy_above_idle(
    tmp_path: Path,
) -> None:
    scene = Scene(tmp_path)
    scene.minute(CPU._replace(idle_w=10.0), 1800.0, ticks=3000, busy_s=60.0)
    (minute,) = scene.rows.minutes
    assert minute.above_idle_uj == 1_200_000_000
    assert scene.share("train").energy_uj == 600_000_000
    assert scene.share("(not seen)").energy_uj == 600_000_000


def test_with_idle_unknown_a_share_has_bounds_and_no_figure(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.minute(CPU, 1800.0, ticks=3000, busy_s=60.0)
    share = scene.share("train")
    assert (share.energy_uj, share.low_uj, share.high_uj) == (None, 0, 900_000_000)


def test_a_quiet_minute_teaches_what_idle_is(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.minute(CPU, 600.0, ticks=1, busy_s=0.1)
    scene.proc.put(10, "train", 6001)
    scene.attribution.reading(CPU, 0, Reading(CPU.key, 120 * SECOND, 3_000_000_000))
    scene.attribution.close_minute(60_100_000)
    share = scene.rows.shares[-1]
    last = scene.rows.minutes[-1]
    assert last.above_idle_uj == 1_800_000_000
    assert share.energy_uj is not None
    assert share.low_uj <= share.energy_uj <= share.high_uj


def test_energy_of_a_gpu_without_a_process_is_noted_as_idle(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    look = scene.attribution
    look.close_minute(0)
    look.reading(GPU, 1, Reading(GPU.key, 0, 0))
    look.utilization(GPU, 1, ProcessUtilization(GPU.key, 0, 0, {}))
    look.reading(GPU, 1, Reading(GPU.key, 30 * SECOND, 900_000_000))
    look.utilization(GPU, 1, ProcessUtilization(GPU.key, 30 * SECOND, 0, {}))
    scene.proc.put(77, "infer", 5)
    look.reading(GPU, 1, Reading(GPU.key, 60 * SECOND, 9_900_000_000))
    look.utilization(GPU, 1, ProcessUtilization(GPU.key, 60 * SECOND, 30 * SECOND, {77: 0.5}))
    look.close_minute(1_000_000)
    (minute,) = scene.rows.minutes
    assert (minute.energy_uj, minute.idle_uj, minute.busy_us) == (
        9_900_000_000,
        900_000_000,
        15_000_000,
    )
    assert scene.share("infer").busy_us == 15_000_000


def test_parts_of_another_device_are_not_split_a_second_time(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.minute(CPU._replace(part_of="psys"), 100.0, ticks=10, busy_s=1.0)
    assert scene.rows.minutes == []


@given(
    st.dictionaries(
        st.tuples(st.sampled_from(["process", "cgroup"]), st.text(max_size=5)),
        st.integers(0, 10**9),
        max_size=60,
    )
)
def test_naming_the_largest_loses_no_time(used: dict[tuple[str, str], int]) -> None:
    for kind in ("process", "cgroup"):
        of_kind = {key: us for key, us in used.items() if key[0] == kind}
        kept = named(of_kind, sum(of_kind.values()))
        assert sum(kept.values()) == sum(of_kind.values())
        assert len(kept) <= 21


@given(st.integers(0, 10**10), st.floats(0, 1000), st.floats(0, 1), st.integers(1, 10**11))
def test_bounds_of_what_is_above_idle_hold_the_figure(
    energy_uj: int, idle_w: float, slack: float, span_ns: int
) -> None:
    device = CPU._replace(idle_w=idle_w, idle_low_w=idle_w * slack, idle_high_w=idle_w * 2)
    above = above_idle(device, None, Figures(energy_uj, energy_uj, energy_uj), span_ns)
    assert above is not None
    assert 0 <= above.low_uj <= above.energy_uj <= above.high_uj <= max(energy_uj, 0)


def test_nothing_known_of_idle_is_none() -> None:
    assert above_idle(CPU, None, Figures(1, 1, 1), 1) is None


@pytest.mark.parametrize("busy_us", [None, 5])
def test_without_a_clock_of_all_cpus_there_are_no_shares(
    tmp_path: Path, busy_us: int | None
) -> None:
    scene = Scene(tmp_path)
    scene.attribution.reading(CPU, 0, Reading(CPU.key, 0, 0))
    scene.attribution.close_minute(None)
    scene.attribution.reading(CPU, 0, Reading(CPU.key, SECOND, 5))
    scene.attribution.close_minute(busy_us)
    assert scene.rows.shares == []
