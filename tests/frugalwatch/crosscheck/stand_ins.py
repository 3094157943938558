"""Stand-ins for other trackers: real processes with the real talk, and small foreign packages."""

from __future__ import annotations

import sys
from pathlib import Path

from frugalwatch.crosscheck.tracker_process import TrackerProcess, script

# As much of pyRAPL as its sensor is: cumulative micro-joules, package and DRAM of each socket in
# turn, -1 for what there is not. Like the real one it warns on the root logger when imported.
PYRAPL = """
import logging
logging.warning("imported without matplotlib")

class PyRAPLCantRecordEnergyConsumption(Exception):
    pass

class Sensor:
    def energy(self):
        found = []
        for name in ({package!r}, {dram!r}):
            try:
                found.append(float(open(name).read()) if name else -1)
            except FileNotFoundError:
                raise PyRAPLCantRecordEnergyConsumption(None)
        return found
"""

# As much of codecarbon as a cross-check touches. 40 W of CPU, a flat 20 W of RAM.
CODECARBON = """
import socket, time
__version__ = "3.3.2"

class CPU:
    _mode = {mode!r}
    _tdp = {tdp!r}

class Data:
    pue = 1.0
    gpu_count = 0
    gpu_energy = 0.0
    ram_power = 20.0

class OfflineEmissionsTracker:
    def __init__(self, **options):
        print("noise on stdout")
        self.options = options
        self._hardware = [CPU()]
        try:
            socket.create_connection(("127.0.0.1", 9), timeout=1)
        except OSError as error:
            self.network = str(error)

    def get_detected_hardware(self):
        return {{}}

    def start(self):
        self.begun = time.monotonic()

    def stop(self):
        data = self.final_emissions_data = Data()
        data.duration = time.monotonic() - self.begun
        data.cpu_energy = 40.0 * data.duration / 3.6e6
        data.ram_energy = 20.0 * data.duration * {covered} / 3.6e6
        assert self.network == "no network in a cross-check", self.network
        assert not self.options["save_to_file"] and not self.options["save_to_api"]
        return (data.cpu_energy + data.ram_energy) * 0.056
"""


def tracker(
    folder: Path, module: str, source: str, arguments: tuple[str, ...] = (), name: str = ""
) -> TrackerProcess:
    """Our real child script for `module`, with `source` standing in for the foreign package."""
    (folder / f"{module}.py").write_text(source)
    start = folder / "start.sh"
    # `python -P child.py` with the stand-in's folder in front, as site-packages would be.
    start.write_text(f'#!/bin/sh\nPYTHONPATH="{folder}" exec {sys.executable} "$@"\n')
    start.chmod(0o755)
    child = {"pyRAPL": "child_pyrapl.py", "codecarbon": "child_codecarbon.py"}[module]
    return TrackerProcess(
        name or module, script(child), arguments, module=module, python=str(start)
    )
