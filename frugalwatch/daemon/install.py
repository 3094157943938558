"""The systemd units, filled in for this installation, and the lines that set them up."""

from __future__ import annotations

import os
import sys

SYSTEM_UNIT = "/etc/systemd/system/frugalwatch.service"
_UNITS = os.path.join(os.path.dirname(__file__), "units")
_HOMES = ("/home/", "/root/", "/run/user/")


def unit(*, user: bool) -> str:
    """The text of the unit for the system, or for one user."""
    name = "frugalwatch-user.service" if user else "frugalwatch.service"
    with open(os.path.join(_UNITS, name), encoding="utf-8") as file:
        text = file.read()
    words = own_command()
    in_a_home = any(word.startswith(_HOMES) for word in words)
    # What is installed in somebody's home must be readable there.
    text = text.replace("@PROTECT_HOME@", "read-only" if in_a_home else "yes")
    return text.replace("@COMMAND@", " ".join(map(_quoted, words)))


def set_up(group: str, *, user: bool) -> list[str]:
    """What to type: two lines for the system, two for a user."""
    command = " ".join(map(_quoted, own_command()))
    if user:
        folder = "~/.config/systemd/user"
        return [
            f"mkdir -p {folder} && {command} daemon install --user > {folder}/frugalwatch.service",
            "systemctl --user daemon-reload && systemctl --user enable --now frugalwatch",
        ]
    return [
        f"sudo sh -c 'useradd -rU {group}; {command} daemon install > {SYSTEM_UNIT}"
        " && systemctl daemon-reload && systemctl enable --now frugalwatch'",
        f"sudo usermod -aG {group} $USER    # who may use it; log in again after that",
    ]


def own_command() -> list[str]:
    """How this program is started: its script beside the interpreter, else the module."""
    script = os.path.join(os.path.dirname(sys.executable), "frugalwatch")
    return [script] if os.access(script, os.X_OK) else [sys.executable, "-m", "frugalwatch"]


def _quoted(word: str) -> str:
    return f'"{word}"' if any(letter.isspace() for letter in word) else word
