"""Runs of codecarbon as runs of the ledger: labelled imported, never measured, never twice."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Sequence

from frugalwatch.carbon.grid import GridFactor, resolve_or_world
from frugalwatch.config.settings import Settings
from frugalwatch.crosscheck.codecarbon_csv import EmissionsRow
from frugalwatch.ledger.database import database
from frugalwatch.ledger.totals import store_totals
from frugalwatch.report.settle import settle_run

RUN_KEY_PREFIX = "codecarbon-"
NOTE = "imported from codecarbon; how it knew is not in its file; bounds x0.5 to x2 are ours"
_BAND = (0.5, 2.0)  # the band of every model here
_BOUNDARY = {"cpu": "die", "gpu": "board", "ram": "board"}


def import_rows(
    connection: sqlite3.Connection, rows: Sequence[EmissionsRow], settings: Settings
) -> tuple[list[str], list[str]]:
    """Store rows as runs; returns the keys of new runs and of those that were there already.

    Each run is one transaction. Raises sqlite3.Error.
    """
    new: list[str] = []
    known: list[str] = []
    for row in rows:
        run_key = RUN_KEY_PREFIX + row.run_id
        found = connection.execute(
            "SELECT result IS NOT NULL FROM run WHERE run_key = ?", (run_key,)
        ).fetchone()
        if found is None:
            _insert(connection, run_key, row)
        elif found[0]:
            known.append(run_key)
            continue
        # Also for a run whose import was cut off between its rows and its totals.
        own = settings._replace(pue=row.pue, price_per_kwh=None)
        document, totals = settle_run(connection, run_key, _factor(row, settings), own)
        store_totals(connection, int(str(document["number"])), totals)
        new.append(run_key)
    return new, known


def _insert(connection: sqlite3.Connection, run_key: str, row: EmissionsRow) -> None:
    """The run with its machine, devices and one span of energy for each, in one transaction."""
    ledger = database(connection)
    # An imported run has no monotonic clock; UTC keeps two imports from sharing an instant.
    ended_ns = round(row.ended_utc_s * 1e9)
    started_ns = ended_ns - round(row.duration_s * 1e9)
    machine_key = _machine_key(row)
    with ledger.atomic():
        ledger.table("machine").insert(
            {
                "machine_key": machine_key,
                "hostname": "imported from codecarbon",
                "cpu_model": row.cpu_model or None,
                "cpu_threads": row.cpu_count,
            },
            ignore=True,
        )
        machine = _id(connection, "machine", "machine_key", machine_key)
        ledger.table("boot").insert(
            {"machine_id": machine, "boot_key": machine_key, "kernel": row.os or None},
            ignore=True,
        )
        boot = _id(connection, "boot", "boot_key", machine_key)
        ledger.table("run").insert(
            {
                "run_key": run_key,
                "boot_id": boot,
                "state": "done",
                "command": json.dumps([row.project]),
                "command_hash": f"{RUN_KEY_PREFIX}{zlib.crc32(row.project.encode()):08x}",
                "cwd": "",
                "interval_ns": 0,
                "started_utc_ns": started_ns,
                "started_mono_ns": started_ns,
                "ended_mono_ns": ended_ns,
                "heartbeat_mono_ns": ended_ns,
                "pue": row.pue,
            }
        )
        run = _id(connection, "run", "run_key", run_key)
        for domain, joules in (("cpu", row.cpu_j), ("gpu", row.gpu_j), ("ram", row.ram_j)):
            if not joules:
                continue  # codecarbon writes 0 for what it does not have
            source = f"codecarbon {row.version} ({row.tracking_mode} mode), imported"
            key = f"codecarbon:{domain}"
            ledger.table("device").insert(
                {
                    "machine_id": machine,
                    "key": key,
                    "domain": domain,
                    "name": _device_name(row, domain),
                    "boundary": _BOUNDARY[domain],
                    "source": source,
                },
                ignore=True,
            )
            device = connection.execute(
                "SELECT id FROM device WHERE machine_id = ? AND key = ? AND source = ?",
                (machine, key, source),
            ).fetchone()[0]
            ledger.table("stream").insert(
                {
                    "run_id": run,
                    "boot_id": boot,
                    "device_id": device,
                    "origin": "estimated",
                    "opened_mono_ns": started_ns,
                    "note": NOTE,
                }
            )
            stream = connection.execute(
                "SELECT id FROM stream WHERE run_id = ? AND device_id = ?", (run, device)
            ).fetchone()[0]
            energy_uj = round(joules * 1e6)
            low_uj, high_uj = (round(joules * factor * 1e6) for factor in _BAND)
            ledger.table("sample").insert_all(
                {
                    "stream_id": stream,
                    "t_mono_ns": at_ns,
                    "energy_uj": energy,
                    "low_uj": low,
                    "high_uj": high,
                }
                for at_ns, energy, low, high in (
                    (started_ns, 0, 0, 0),
                    (ended_ns, energy_uj, low_uj, high_uj),
                )
            )
        ledger.table("event").insert(
            {
                "run_id": run,
                "kind": "imported",
                "cause": "codecarbon",
                "t_mono_ns": ended_ns,
                "detail": NOTE,
            }
        )


def _factor(row: EmissionsRow, settings: Settings) -> GridFactor:
    """The factor that codecarbon applied, or ours where its row has no emissions."""
    if row.g_per_kwh is None:
        return resolve_or_world(settings)[0]
    year = _year(row)
    return GridFactor(
        zone=row.country_iso3 or "unknown",
        zone_name=row.country or "unknown place",
        year=year,
        kind="average-lifecycle",
        source=f"codecarbon {row.version}".strip(),
        attribution="",
        g_per_kwh=row.g_per_kwh,
        note=f"the factor that codecarbon applied in {year}; its data's year is not in the file",
    )


def _year(row: EmissionsRow) -> int:
    import time

    return time.gmtime(row.ended_utc_s).tm_year


def _machine_key(row: EmissionsRow) -> str:
    text = "\0".join((row.os, row.cpu_model, str(row.cpu_count), row.gpu_model))
    return f"{RUN_KEY_PREFIX}{zlib.crc32(text.encode()):08x}"


def _device_name(row: EmissionsRow, domain: str) -> str:
    names = {"cpu": row.cpu_model, "gpu": row.gpu_model, "ram": "memory"}
    return names[domain] or domain.upper()


def _id(connection: sqlite3.Connection, table: str, column: str, value: str) -> int:
    found = connection.execute(f"SELECT id FROM {table} WHERE {column} = ?", (value,)).fetchone()
    return int(found[0])
