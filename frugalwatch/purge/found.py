"""What would be deleted: runs and advice in the ledger, and the files that belong to them."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from calendar import timegm
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from frugalwatch.captures.folder import captures_folder, list_captures, read_manifest
from frugalwatch.captures.reading import read_capture, size_bytes
from frugalwatch.json_files import read_json
from frugalwatch.ledger.paths import Location
from frugalwatch.profile.folder import profiles_folder
from frugalwatch.purge.choice import Choice

SCHEMA = "frugalwatch.purge/1"
_BEFORE_S = 30.0


@dataclass(frozen=True, slots=True)
class FoundRun:
    """A run of the ledger. Energies in joules, measured and modelled; None is unknown."""

    number: int
    run_id: str
    command: tuple[str, ...]
    started_utc_s: float
    energy_j: float | None
    estimated_j: float | None


@dataclass(frozen=True, slots=True)
class FoundAdvice:
    """An advice of the ledger."""

    number: int
    key: str
    command: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FoundFiles:
    """A file or a folder. `kind`: profile, capture, advice folder, published run, or old file."""

    kind: str
    path: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Found:
    """All that was chosen. `still_running` are numbers of runs that go on, which stay."""

    runs: tuple[FoundRun, ...]
    still_running: tuple[int, ...]
    advice: tuple[FoundAdvice, ...]
    files: tuple[FoundFiles, ...]

    def __bool__(self) -> bool:
        return bool(self.runs or self.advice or self.files)

    def as_json(self) -> dict[str, object]:
        """SI units in the key names."""
        return asdict(self)


def find(
    connection: sqlite3.Connection, location: Location, environ: Mapping[str, str], choice: Choice
) -> Found:
    """Look through the ledger and its folders; changes nothing. Raises sqlite3.Error."""
    runs, running = _runs(connection, choice)
    advice = [] if choice.runs is not None else _advice(connection, choice)
    keys = {run.run_id for run in runs}
    files = [
        *_profiles(environ, keys, running, choice),
        *_captures(environ, runs, running, choice),
        *_advice_folders(location, advice),
        *_published(location, keys),
        *_old_files(location, choice),
    ]
    chosen_running = tuple(run.number for run in running if _chosen(choice, run, time.time()))
    return Found(tuple(runs), chosen_running, tuple(advice), tuple(files))


def _runs(connection: sqlite3.Connection, choice: Choice) -> tuple[list[FoundRun], list[FoundRun]]:
    """Those that were chosen and are over; and all that go on, whose files must stay."""
    found: list[FoundRun] = []
    running: list[FoundRun] = []
    for number, key, state, command, began_ns, lasted_ns, energy, estimated in connection.execute(
        "SELECT id, run_key, state, command, started_utc_ns,"
        " coalesce(ended_mono_ns, heartbeat_mono_ns) - started_mono_ns, energy_uj, estimated_uj"
        " FROM run ORDER BY started_utc_ns, id"
    ):
        measured, modelled = (None if uj is None else uj / 1e6 for uj in (energy, estimated))
        run = FoundRun(number, key, _words(command), began_ns / 1e9, measured, modelled)
        if state == "running":
            running.append(run)
        elif _chosen(choice, run, (began_ns + lasted_ns) / 1e9):
            found.append(run)
    return found, running


def _chosen(choice: Choice, run: FoundRun, ended_utc_s: float) -> bool:
    if choice.runs is not None:
        return run.run_id in choice.runs
    return choice.takes(run.command, ended_utc_s)


def _advice(connection: sqlite3.Connection, choice: Choice) -> list[FoundAdvice]:
    rows = connection.execute(
        "SELECT id, advice_key, command, coalesce(ended_utc_ns, started_utc_ns) FROM advice"
        " WHERE state <> 'running' ORDER BY id"
    )
    found = [(FoundAdvice(row[0], row[1], _words(row[2])), row[3] / 1e9) for row in rows]
    return [advice for advice, ended in found if choice.takes(advice.command, ended)]


def _profiles(
    environ: Mapping[str, str], keys: set[str], running: list[FoundRun], choice: Choice
) -> list[FoundFiles]:
    """Of the chosen runs; by age also those whose run is in another ledger, or in none."""
    stay = {run.run_id for run in running}
    folder = profiles_folder(environ)
    found: list[FoundFiles] = []
    for name in _names(folder):
        path = os.path.join(folder, name)
        by_age = choice.runs is None and choice.text is None and choice.takes((), _changed(path))
        if name in keys or (by_age and name not in stay):
            found.append(FoundFiles("profile", path, size_bytes(path)))
    return found


def _captures(
    environ: Mapping[str, str], runs: list[FoundRun], running: list[FoundRun], choice: Choice
) -> list[FoundFiles]:
    stay = {run.run_id for run in running}
    keys = {run.run_id for run in runs}
    found: list[FoundFiles] = []
    for path in list_captures(captures_folder(environ)):
        manifest = read_manifest(path)
        command = manifest.get("command")
        words = tuple(map(str, command)) if isinstance(command, list) else ()
        made_utc_s = _utc(manifest.get("created_utc"), path)
        own = choice.runs is None and choice.takes(words, made_utc_s)
        run_id = read_capture(path).run_id
        if run_id in stay or (run_id is None and _made_for(running, words, made_utc_s)):
            continue
        if own or run_id in keys or (run_id is None and _made_for(runs, words, made_utc_s)):
            found.append(FoundFiles("capture", path, size_bytes(path)))
    return found


def _made_for(runs: list[FoundRun], command: tuple[str, ...], made_utc_s: float) -> bool:
    """Whether a capture in which no process said whose it is was made for one of these runs.

    Its folder is made just before the job is started.
    """
    return any(
        run.command == command and 0 <= run.started_utc_s - made_utc_s + 1 <= _BEFORE_S
        for run in runs
    )


def _advice_folders(location: Location, advice: list[FoundAdvice]) -> list[FoundFiles]:
    """Folders with the models that an advice kept; which advice's they are stands inside."""
    parent = os.path.join(os.path.dirname(os.path.realpath(location.ledger)), "advice")
    keys = {each.key for each in advice}
    found: list[FoundFiles] = []
    for name in _names(parent):
        path = os.path.join(parent, name)
        if read_json(os.path.join(path, "advice.json")).get("key") in keys:
            found.append(FoundFiles("advice folder", path, size_bytes(path)))
    return found


def _published(location: Location, keys: set[str]) -> list[FoundFiles]:
    """Copies of runs on a network file system, from where they would come back."""
    if location.inbox is None:
        return []
    paths = [os.path.join(location.inbox, f"{key}.db") for key in sorted(keys)]
    return [FoundFiles("published run", p, _size(p)) for p in paths if os.path.exists(p)]


def _old_files(location: Location, choice: Choice) -> list[FoundFiles]:
    """Damaged ledgers that were put aside, and the sampler's log of crashes: by age, or all."""
    if choice.runs is not None or choice.text is not None:
        return []
    folder, ledger = os.path.split(location.ledger)
    found: list[FoundFiles] = []
    for name in _names(folder):
        path = os.path.join(folder, name)
        ours = name.startswith(f"{ledger}.corrupt-") or name == "sampler-crash.log"
        if ours and choice.takes((), _changed(path)):
            found.append(FoundFiles("old file", path, _size(path)))
    return found


def _words(command: str) -> tuple[str, ...]:
    return tuple(map(str, json.loads(command)))


def _utc(text: object, path: str) -> float:
    try:
        return float(timegm(time.strptime(str(text), "%Y-%m-%dT%H:%M:%SZ")))
    except ValueError:
        return _changed(path)


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _changed(path: str) -> float:
    """When a file, or anything in a folder, was last written to."""
    times = [_mtime(path)]
    if os.path.isdir(path):
        times += [_mtime(os.path.join(path, name)) for name in _names(path)]
    return max(times)


def _mtime(path: str) -> float:
    try:
        return os.lstat(path).st_mtime
    except OSError:
        return 0.0


def _size(path: str) -> int:
    try:
        return os.lstat(path).st_size
    except OSError:
        return 0
