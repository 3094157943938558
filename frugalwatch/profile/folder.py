"""Where profiles lie: one folder for each run, this user's alone.

Beside no ledger but in the state folder, since the job writes there itself, while it runs. They
expire as captures do: `profile_days`, a week by default.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from frugalwatch.config.paths import state_dir
from frugalwatch.ledger.paths import private_directory

_NAME = "profiles"
_S_PER_DAY = 86_400.0


def profiles_folder(environ: Mapping[str, str]) -> str:
    """The folder of all profiles, whether it exists or not."""
    return os.path.join(state_dir(environ), _NAME)


def make_profiles_folder(environ: Mapping[str, str]) -> str | None:
    """The folder of all profiles, made with mode 0700; None where that cannot be had."""
    path = profiles_folder(environ)
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    except OSError:
        return None
    return path if private_directory(path) else None


def profile_files(environ: Mapping[str, str], run_key: str) -> list[str]:
    """The files of a run's processes, in the order in which they began."""
    folder = os.path.join(profiles_folder(environ), run_key)
    try:
        names = [name for name in os.listdir(folder) if name.endswith(".jsonl")]
    except OSError:
        return []
    return [os.path.join(folder, name) for name in sorted(names, key=_began)]


def delete_profile(environ: Mapping[str, str], run_key: str) -> int:
    """Remove a run's profile; how many bytes that were."""
    freed = 0
    for path in profile_files(environ, run_key):
        freed += os.path.getsize(path)
        os.unlink(path)
    folder = os.path.join(profiles_folder(environ), run_key)
    if os.path.isdir(folder) and not os.listdir(folder):
        os.rmdir(folder)
    return freed


def purge_expired(environ: Mapping[str, str], days: float, now_utc_s: float) -> list[str]:
    """Delete profiles that nobody has written to for so many days; keys of their runs.

    Never raises: it is called where a job has ended.
    """
    folder = profiles_folder(environ)
    gone: list[str] = []
    for name in _listed(folder):
        path = os.path.join(folder, name)
        try:
            files = [os.path.join(path, each) for each in os.listdir(path)]
            newest = max(os.lstat(each).st_mtime for each in (path, *files))
            if now_utc_s - newest < days * _S_PER_DAY:
                continue
            for each in files:
                os.unlink(each)
            os.rmdir(path)
        except OSError:  # something that is none of ours, or another process was faster
            continue
        gone.append(name)
    return gone


def _listed(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _began(name: str) -> tuple[int, str]:
    _, _, began = name.removesuffix(".jsonl").partition("-")
    return (int(began) if began.isdigit() else 0, name)
