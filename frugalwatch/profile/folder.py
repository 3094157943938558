"""Where profiles lie: one folder for each run, this user's alone.

Beside no ledger but in the state folder, since the job writes there itself, while it runs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from frugalwatch.config.paths import state_dir
from frugalwatch.ledger.paths import private_directory

_NAME = "profiles"


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


def _began(name: str) -> tuple[int, str]:
    _, _, began = name.removesuffix(".jsonl").partition("-")
    return (int(began) if began.isdigit() else 0, name)
