"""The language of the daemon's socket: frames, limits and their reasons (docs/reference)."""

from __future__ import annotations

SYSTEM_SOCKET = "/run/frugalwatch/sock"
