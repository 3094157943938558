"""The console script: makes sure that `import collectors` means ours, then hands over.

A user's project may hold folders called `collectors/` or `advisor/`, and PYTHONPATH may point at
it. PYTHONPATH is for the job, which gets it untouched; this process drops it, and the current
folder, before it imports anything of ours.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found] # what `signal` wraps: loaded at once
import gc
import os
import sys
from typing import NoReturn

_OBJECTS_BETWEEN_COLLECTIONS = 50_000


def forget_user_paths() -> None:
    """Drop PYTHONPATH and the current folder from this process's own `sys.path`."""
    home = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    here = os.path.realpath(os.getcwd()) if _has_cwd() else ""
    dropped = {"", here}
    for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep):
        dropped.add(os.path.realpath(entry) if entry else "")
    dropped.discard(os.path.realpath(home))
    sys.path[:] = [p for p in sys.path if p and os.path.realpath(p) not in dropped]


def forget_user_modules() -> None:
    """Drop modules of our names that a user's `sitecustomize` brought in before us."""
    home = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    for name in ("collectors", "advisor"):
        loaded = sys.modules.get(name)
        if loaded is None:
            continue
        file = getattr(loaded, "__file__", None) or ""
        if os.path.realpath(file) != os.path.realpath(os.path.join(home, name, "__init__.py")):
            for each in [m for m in sys.modules if m == name or m.startswith(f"{name}.")]:
                del sys.modules[each]


def _has_cwd() -> bool:
    try:
        os.getcwd()
    except OSError:  # the folder was removed under us
        return False
    return True


def main() -> None:
    """Run the command line and exit with its status."""
    ctrl_c_ends()
    # Imports make many objects and no garbage; looking for it takes 6 % of a short run's CPU.
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    forget_user_paths()
    forget_user_modules()
    try:
        from frugalwatch.cli import main as run_command_line

        status = run_command_line()
    except KeyboardInterrupt:
        _die()
    sys.exit(status)


def ctrl_c_ends() -> None:
    """Have Ctrl-C end this process at once; where our caller ignores it, it stays ignored.

    While modules are imported an exception does not do: what is raised inside of the callbacks that
    clear the import system's locks is printed and forgotten, and the job would start all the same.
    """
    if _signal.getsignal(_signal.SIGINT) == _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)


def ctrl_c_raises() -> None:
    """Have Ctrl-C raise KeyboardInterrupt again, as in any Python program."""
    if _signal.getsignal(_signal.SIGINT) == _signal.SIG_DFL:
        _signal.signal(_signal.SIGINT, _signal.default_int_handler)


def _die() -> NoReturn:
    """End as a program without Python ends: a shell then stops its loop, and no traceback shows."""
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
    os.kill(os.getpid(), _signal.SIGINT)
    os._exit(128 + _signal.SIGINT)  # SIGINT is blocked
