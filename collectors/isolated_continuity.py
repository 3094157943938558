"""What happens to a cumulative figure when the process that counted it is replaced by another."""

from __future__ import annotations

from collectors.base import Gap, Observation, Reading


class Continuity:
    """Keeps each device's figure from falling when a reader is replaced by a fresh one."""

    def __init__(self) -> None:
        self._last: dict[str, Reading] = {}
        self._offset: dict[str, Reading] = {}
        self._broken: set[str] = set()

    def last_ns(self, device: str) -> int | None:
        """Instant of the device's last reading."""
        reading = self._last.get(device)
        return reading.t_mono_ns if reading is not None else None

    def interrupted(self) -> None:
        """The reader is gone; the next readings come from another one."""
        self._broken = set(self._last)

    def join(self, observations: list[Observation], resumed: bool) -> list[Observation]:
        """The observations, their energy continued unless the collector did that (`resumed`)."""
        if resumed:
            self._broken.clear()
        joined: list[Observation] = []
        for one in observations:
            if not isinstance(one, Reading):
                joined.append(one)
                continue
            if one.device in self._broken:
                self._broken.discard(one.device)
                last = self._last[one.device]
                self._offset[one.device] = last
                joined.append(
                    Gap(
                        one.device,
                        one.t_mono_ns,
                        last.t_mono_ns,
                        "vanished",
                        "its reader was restarted",
                    )
                )
            reading = self._shift(one)
            self._last[one.device] = reading
            joined.append(reading)
        return joined

    def _shift(self, one: Reading) -> Reading:
        offset = self._offset.get(one.device)
        if offset is None:
            return one
        low_uj = offset.energy_uj if offset.low_uj is None else offset.low_uj
        high_uj = offset.energy_uj if offset.high_uj is None else offset.high_uj
        return one._replace(
            energy_uj=one.energy_uj + offset.energy_uj,
            low_uj=(one.energy_uj if one.low_uj is None else one.low_uj) + low_uj,
            high_uj=(one.energy_uj if one.high_uj is None else one.high_uj) + high_uj,
        )
