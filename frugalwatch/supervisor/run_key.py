"""Names of runs: a sortable key of our own, and the key that other nodes of a job share."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping

_GROUP_VARIABLES = ("FRUGALWATCH_RUN_ID", "SLURM_JOB_ID", "TORCHELASTIC_RUN_ID", "RAY_JOB_ID")


def new_run_key() -> str:
    """A key such as `20261122-143207-9f3ac10b`: start in UTC, and 32 random bits."""
    return time.strftime("%Y%m%d-%H%M%S-", time.gmtime()) + os.urandom(4).hex()


def group_key(environment: Mapping[str, str]) -> str | None:
    """What a job across nodes calls itself, with the name of its source; None for a lone run."""
    for name in _GROUP_VARIABLES:
        value = environment.get(name)
        if value:
            if name == "FRUGALWATCH_RUN_ID":
                return value
            array = environment.get("SLURM_ARRAY_TASK_ID") if name == "SLURM_JOB_ID" else None
            return f"{name.partition('_')[0].lower()}:{value}" + (f"_{array}" if array else "")
    return None
