"""Watts per hardware thread by CPU, from published whole-server measurements (data/cpu_power.csv).

A look-up answers with the row and with how far to trust it. One band stands everywhere, half to
twice the figure, and it is wider where the row is a relative's, rests on few records, or where
the published records themselves spread further.
"""

import os
from typing import Literal, NamedTuple, TypeAlias

from collectors.band import Band
from collectors.cpu_identity import CpuIdentity

Match: TypeAlias = Literal["server", "nearest", "far", "client", "none"]

# Factors on the median, by how well the row fits. Half to twice is what models of this kind were
# off by against measured packages; the wider ones are a judgement, not a measurement.
_BAND: dict[str, tuple[float, float]] = {
    "server": (0.5, 2.0),
    "nearest": (0.4, 2.5),
    "far": (1 / 3, 3.0),
}
_FEW_RECORDS = 5  # with fewer, percentiles say nothing
_AMX_KEYS = ("Sapphire Rapids", "Emerald Rapids", "Granite Rapids")
_CLIENT_NAMES = ("Core(TM)", "Ryzen", "Threadripper", "Pentium", "Celeron")


class ThreadPower(NamedTuple):
    """Watts of a whole server at the plug, for each of its hardware threads: idle and all busy.

    `key` is the row's name ("Ice Lake"), `microarchitecture` what this CPU is, `match` how the two
    relate, `note` what a person should know, empty if there is nothing.
    """

    key: str
    microarchitecture: str
    match: Match
    idle_w: Band
    full_w: Band
    note: str = ""


class _PowerRow(NamedTuple):
    key: str
    idle_w: float
    idle_p10_w: float
    idle_p90_w: float
    full_w: float
    full_p10_w: float
    full_p90_w: float
    records: int


class _CpuRow(NamedTuple):
    microarchitecture: str
    key: str
    match: Match


def thread_power(identity: CpuIdentity | None, table_path: str | None = None) -> ThreadPower:
    """The watts that stand for this CPU; an unknown one gets the band over all rows.

    `table_path` is another table of the same form (tests). Raises OSError or ValueError only if our
    own data file is damaged.
    """
    rows, cpu = _load(table_path, identity)
    if identity is None:
        return _generic(rows, "unknown CPU", "none", "this machine does not say which CPU it has")
    if identity.amx and (cpu is None or cpu.key not in _AMX_KEYS):
        return _tile_registers(rows, identity, cpu)
    if cpu is None:
        return _generic(rows, "unknown CPU", "none", f"no row for {identity.label}")
    if cpu.match in ("client", "none"):
        return _generic(rows, cpu.microarchitecture, cpu.match, _why_generic(cpu))
    match, note = cpu.match, ""
    if cpu.match == "nearest":
        note = f"{cpu.key} stands in for {cpu.microarchitecture}"
    elif cpu.match == "far":
        note = f"{cpu.key} stands in for {cpu.microarchitecture}, a distant relative"
    if any(word in identity.name for word in _CLIENT_NAMES) and match == "server":
        match, note = "nearest", f"a desktop part, and the {cpu.key} row is about servers"
    elif identity.hypervisor and identity.generic_name and match == "server":
        match = "nearest"
        note = (
            f'the hypervisor shows a class of CPUs ("{identity.name}"): the real one may be newer'
        )
    row = rows[cpu.key]
    if row.records < _FEW_RECORDS and match == "server":
        match = "nearest"
        note = f"only {row.records} published records"
    return _power(row, cpu.microarchitecture, match, note)


def _tile_registers(
    rows: dict[str, _PowerRow], identity: CpuIdentity, cpu: _CpuRow | None
) -> ThreadPower:
    shown = cpu.microarchitecture if cpu is not None else "an unknown part"
    note = (
        f"CPUID says model {identity.model} ({shown}), but AMX first appeared in Sapphire Rapids: "
        "the hypervisor hides the real model; band over Sapphire, Emerald and Granite Rapids"
    )
    return _power(
        rows["Sapphire Rapids"],
        "Sapphire Rapids or newer",
        "nearest",
        note,
        tuple(rows[key] for key in _AMX_KEYS),
    )


def _generic(
    rows: dict[str, _PowerRow], microarchitecture: str, match: Match, why: str
) -> ThreadPower:
    """Median over all rows, bounded by the lowest 10th and the highest 90th percentile of any."""
    every = tuple(rows.values())
    middle = _PowerRow(
        key="any server",
        idle_w=_median([row.idle_w for row in every]),
        idle_p10_w=min(row.idle_p10_w for row in every),
        idle_p90_w=max(row.idle_p90_w for row in every),
        full_w=_median([row.full_w for row in every]),
        full_p10_w=min(row.full_p10_w for row in every),
        full_p90_w=max(row.full_p90_w for row in every),
        records=sum(row.records for row in every),
    )
    note = f"{why}: median and band over all {len(every)} kinds of server CPU"
    return _power(middle, microarchitecture, match, note)


def _power(
    row: _PowerRow,
    microarchitecture: str,
    match: Match,
    note: str,
    spread: tuple[_PowerRow, ...] = (),
) -> ThreadPower:
    low_factor, high_factor = _BAND.get(match, _BAND["server"])
    about = spread or (row,)
    return ThreadPower(
        key=row.key,
        microarchitecture=microarchitecture,
        match=match,
        idle_w=Band(
            row.idle_w,
            min(row.idle_w * low_factor, *(other.idle_p10_w for other in about)),
            max(row.idle_w * high_factor, *(other.idle_p90_w for other in about)),
        ),
        full_w=Band(
            row.full_w,
            min(row.full_w * low_factor, *(other.full_p10_w for other in about)),
            max(row.full_w * high_factor, *(other.full_p90_w for other in about)),
        ),
        note=note,
    )


def _why_generic(cpu: _CpuRow) -> str:
    if cpu.match == "client":
        return (
            f"{cpu.microarchitecture} is a desktop or laptop part without a published server record"
        )
    return f"no published record for {cpu.microarchitecture}"


def _load(
    path: str | None, identity: CpuIdentity | None
) -> tuple[dict[str, _PowerRow], _CpuRow | None]:
    """Every power row, and the first row that names this CPU."""
    if path is None:
        path = os.path.join(os.path.dirname(__file__), "data", "cpu_power.csv")
    rows: dict[str, _PowerRow] = {}
    found: _CpuRow | None = None
    with open(path, encoding="utf-8") as file:
        for line in file:
            words = line.rstrip("\n").split(",")
            if words[0] == "power":
                idle, idle_p10, idle_p90, full, full_p10, full_p90 = map(float, words[2:8])
                rows[words[1]] = _PowerRow(
                    words[1], idle, idle_p10, idle_p90, full, full_p10, full_p90, int(words[9])
                )
            elif words[0] == "cpu" and found is None and _is_about(words, identity):
                found = _CpuRow(words[7], words[8], _match(words[9]))
    return rows, found


def _is_about(words: list[str], identity: CpuIdentity | None) -> bool:
    _, vendor, family, model_low, model_high, stepping_low, stepping_high = words[:7]
    if identity is None or vendor != identity.vendor or identity.model is None:
        return False
    if family and int(family) != identity.family:
        return False
    if not int(model_low, 0) <= identity.model <= int(model_high, 0):
        return False
    if not stepping_low:
        return True
    return identity.stepping is not None and int(stepping_low) <= identity.stepping <= int(
        stepping_high
    )


def _match(word: str) -> Match:
    for known in ("server", "nearest", "far", "client", "none"):
        if word == known:
            return known
    raise ValueError(f"cpu_power.csv: unknown match {word!r}")


def _median(values: list[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2
