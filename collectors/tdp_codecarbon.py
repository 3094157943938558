"""The thermal design power that the installed codecarbon lists for this CPU, read without
importing it.

Only used where the user asks (`--cpu-model codecarbon`) and by `doctor --crosscheck`: that a
package is installed never changes a figure by itself.
"""

from __future__ import annotations

from dataclasses import dataclass

from collectors.band import Band
from collectors.cpu_identity import CpuIdentity
from collectors.cpu_power_model import CpuPowerModel

_FILE = "codecarbon/data/hardware/cpu_power.csv"

# codecarbon's own end points: a tenth of TDP when idle, TDP when busy. The bounds are the band of
# every model here.
_IDLE_SHARE = 0.1
_BAND = (0.5, 2.0)


@dataclass(frozen=True, slots=True)
class Tdp:
    """A socket's thermal design power in watts, under the name that codecarbon has for the CPU."""

    name: str
    watts: float
    version: str


@dataclass(frozen=True, slots=True)
class NoTdp:
    """Why there is no figure, and what a person can type."""

    reason: str
    remedy: str = ""


def socket_tdp(cpu_name: str, table: tuple[str, str] | None = None) -> Tdp | NoTdp:
    """The TDP of the socket with this model name.

    Names are compared without trade marks, clock and core counts; there is no fuzzy match, since a
    neighbour's TDP can be twice as large. `table` is a path of the CSV and a version (tests).
    """
    if table is None:
        table = _installed()
    if table is None:
        return NoTdp("codecarbon is not installed", "pip install 'frugalwatch[crosscheck]'")
    if not cpu_name:
        return NoTdp("this CPU has no model name to look up")
    path, version = table
    wanted = _plain(cpu_name)
    try:
        import csv

        with open(path, encoding="utf-8", newline="") as file:
            for row in csv.reader(file):
                if len(row) >= 2 and _plain(row[0]) == wanted:
                    return Tdp(row[0], float(row[1]), version)
    except (OSError, ValueError) as error:
        return NoTdp(f"codecarbon's table cannot be read: {error}")
    return NoTdp(f'codecarbon {version} does not list "{cpu_name}"')


def socket_threads(identity: CpuIdentity) -> int | None:
    """Hardware threads of one real socket, None where a hypervisor hides it or nobody says."""
    return None if identity.hypervisor else identity.siblings


def tdp_model(
    model: CpuPowerModel, identity: CpuIdentity | None, table: tuple[str, str] | None = None
) -> CpuPowerModel:
    """The model with codecarbon's TDP, scaled to the visible share of the socket's threads.

    Where the TDP or the socket's size is unknown this is `model` itself, with a note that says why.
    """
    tdp = socket_tdp(identity.name if identity is not None else "", table)
    if isinstance(tdp, NoTdp) or identity is None:
        return _unchanged(model, tdp.reason if isinstance(tdp, NoTdp) else "unknown CPU")
    per_socket = socket_threads(identity)
    if per_socket is None:
        return _unchanged(
            model,
            "the hypervisor hides how many threads the socket has, so its"
            f" {tdp.watts:g} W cannot be scaled to the {identity.threads} that are visible",
        )
    full_w = tdp.watts * model.threads / per_socket
    idle_w = full_w * _IDLE_SHARE
    return CpuPowerModel(
        idle_w=Band(idle_w, idle_w * _BAND[0], idle_w * _BAND[1]),
        full_w=Band(full_w, full_w * _BAND[0], full_w * _BAND[1]),
        threads=model.threads,
        visible_threads=model.visible_threads,
        boundary="die",
        encloses=("cpu",),
        source=(
            f"model: TDP {tdp.watts:g} W of {tdp.name} (codecarbon {tdp.version}),"
            f" {model.threads:g} of {per_socket} threads of a socket"
        ),
        note=f"bounds x{_BAND[0]:g} to x{_BAND[1]:g}",
    )


def _unchanged(model: CpuPowerModel, why: str) -> CpuPowerModel:
    note = f"codecarbon's TDP was asked for but not used: {why}"
    return model._replace(note="; ".join(part for part in (note, model.note) if part))


def _installed() -> tuple[str, str] | None:
    """Where the installed codecarbon keeps its table, and its version; None if not installed."""
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        package = distribution("codecarbon")
    except PackageNotFoundError:
        return None
    return str(package.locate_file(_FILE)), package.version


def _plain(name: str) -> str:
    """A CPU's name without what vendors and kernels decorate it with, in lower case."""
    text = name.lower().partition("@")[0]
    for mark in ("(r)", "(tm)", "®", "™"):
        text = text.replace(mark, " ")
    words = [
        word
        for word in text.split()
        if word not in ("cpu", "processor") and not word.endswith("-core")
    ]
    return " ".join(words)
