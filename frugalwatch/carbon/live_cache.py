"""The last answer of a grid service, kept for as long as asking again gives nothing new.

One small file a service and zone in the user's cache folder, readable by that user only. It is a
convenience: whatever is wrong with it, the service is asked instead.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from dataclasses import asdict
from hashlib import sha256

from frugalwatch.carbon.live_value import LiveValue, from_record
from frugalwatch.config import paths
from frugalwatch.config.settings import Settings

_MOST_BYTES = 65536


def cache_path(settings: Settings, zone: str, environ: Mapping[str, str]) -> str:
    """The file for this service, address and zone. Tokens are no part of its name."""
    asked = "\n".join((settings.live_grid, settings.live_grid_url or "", zone))
    name = f"grid-{sha256(asked.encode('utf-8', 'surrogateescape')).hexdigest()[:16]}.json"
    return os.path.join(paths.cache_dir(environ), name)


def recall(path: str, now_utc_ns: int) -> LiveValue | None:
    """The kept value if it still holds now, else None. A file of another user is ignored."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode) or status.st_uid != os.getuid():
                return None
            content = os.read(handle, _MOST_BYTES)
        finally:
            os.close(handle)
        record = json.loads(content)
        value = from_record(record) if isinstance(record, dict) else None
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(value, LiveValue):
        return None
    # The lower bound matters after a clock step: a value from the future holds for ever.
    return value if value.fetched_utc_ns <= now_utc_ns < value.until_utc_ns else None


def keep(path: str, value: LiveValue) -> None:
    """Write the value for other runs, whole or not at all. A folder that refuses is left alone."""
    mine = f"{path}.{os.getpid()}"
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        handle = os.open(mine, flags, 0o600)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(asdict(value), file)
            os.replace(mine, path)
        except OSError:
            os.unlink(mine)
    except OSError:
        return
