"""Where FrugalWatch keeps its files: the XDG folders, as plain strings.

Every function takes the environment instead of reading it, answers with a path and creates
nothing. The XDG Base Directory specification says that a relative value must be ignored, so one
is treated as if it were not set.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

_APPLICATION = "frugalwatch"
# Of the daemon that serves all users. A user's own has its socket in `runtime_dir`.
SYSTEM_SOCKET = "/run/frugalwatch/sock"


def home_dir(environ: Mapping[str, str]) -> str:
    """The user's home folder: HOME, else what the password database says, else `/`."""
    home = environ.get("HOME", "")
    if os.path.isabs(home):
        return home
    import pwd  # only where HOME is not set: a service, a stripped container

    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return "/"


def config_dir(environ: Mapping[str, str]) -> str:
    """The folder of the user's own config.toml: `~/.config/frugalwatch` unless XDG says else."""
    return os.path.join(_base(environ, "XDG_CONFIG_HOME", ".config"), _APPLICATION)


def state_dir(environ: Mapping[str, str]) -> str:
    """The folder of the ledger, `~/.local/state/frugalwatch` unless XDG says otherwise."""
    return os.path.join(_base(environ, "XDG_STATE_HOME", ".local/state"), _APPLICATION)


def cache_dir(environ: Mapping[str, str]) -> str:
    """The folder of what can be fetched again, `~/.cache/frugalwatch` unless XDG says otherwise."""
    return os.path.join(_base(environ, "XDG_CACHE_HOME", ".cache"), _APPLICATION)


def runtime_dir(environ: Mapping[str, str]) -> str:
    """The folder of sockets: `$XDG_RUNTIME_DIR/frugalwatch`, else a per-user name below TMPDIR.

    The stand-in lies in a folder that others can write to. Whoever creates it must do so with mode
    0700 and must refuse one that another user owns.
    """
    runtime = environ.get("XDG_RUNTIME_DIR", "")
    if os.path.isabs(runtime):
        return os.path.join(runtime, _APPLICATION)
    temporary = environ.get("TMPDIR", "")
    if not os.path.isabs(temporary):
        temporary = "/tmp"
    return os.path.join(temporary, f"{_APPLICATION}-{os.getuid()}")


def _base(environ: Mapping[str, str], variable: str, below_home: str) -> str:
    named = environ.get(variable, "")
    if os.path.isabs(named):
        return named
    return os.path.join(home_dir(environ), below_home)
