"""Whether a daemon measures this machine and serves us, and the two lines that set one up."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from collectors.daemon import DaemonCollector
from collectors.host import Host
from frugalwatch.config.settings import Settings
from frugalwatch.daemon.install import set_up
from frugalwatch.daemon.status import find_status
from frugalwatch.sampler.sources import daemon_sockets

if TYPE_CHECKING:
    from frugalwatch.doctor.examine import Check, SourceFound


def daemon_check(
    settings: Settings, environ: Mapping[str, str], sources: Sequence[SourceFound]
) -> Check:
    """The line of `doctor` about the daemon. A lack of one is a fault only if it would help."""
    from frugalwatch.doctor.examine import Check

    sockets = [path for path in daemon_sockets(settings, environ) if os.path.exists(path)]
    collector = DaemonCollector(Host.from_environment(), sockets)
    probe = collector.probe()
    collector.close()
    if probe.ok:
        served = f"serves {len(probe.devices)} device{'s' if len(probe.devices) > 1 else ''}"
        return Check("daemon", True, f"runs and {served} to this user, to the joule")
    if any("members of its group" in probe.reason for _ in sockets):
        return Check(
            "daemon",
            False,
            f"runs, and does not serve this user: {probe.reason}",
            set_up(settings.daemon_group, user=False)[1],
        )
    status = find_status(settings, environ, os.getuid())
    if status.running:
        return Check(
            "daemon", True, f"runs (process {status.pid}), and serves nothing to this user"
        )
    shut_out = any(s.name == "rapl" and "root only" in s.reason for s in sources)
    if not shut_out:
        return Check("daemon", True, "none runs: each run samples for itself")
    lines = set_up(settings.daemon_group, user=False)
    return Check(
        "daemon",
        False,
        "none runs; one would let this user measure without root",
        "  and then: ".join(lines),
    )
