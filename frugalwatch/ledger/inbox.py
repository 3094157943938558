"""Finished runs as single files: how they leave a ledger, and how another one takes them in.

Nodes that share a network file system never share a database on it. Each publishes its finished
runs into `inbox/` by atomic rename, and each takes in what the others published.
"""

from __future__ import annotations

import os
import sqlite3

from frugalwatch.ledger.connection import memory_ledger
from frugalwatch.ledger.transfer import copy_grid_intensities, copy_run
from frugalwatch.ledger.transfer_advice import applied_keys, copy_advice, rename_applied


def publish(conn: sqlite3.Connection, run_key: str, inbox: str) -> str:
    """Place one run as `inbox/<run_key>.db`; its path. Readers see the whole file or none.

    Raises OSError or sqlite3.Error.
    """
    single = memory_ledger()
    try:
        copy_run(conn, single, run_key)
        copy_grid_intensities(conn, single)
        # What it was started with, so that its name means the same where the run goes.
        rename_applied(single, [run_key], copy_advice(conn, single, applied_keys(conn, run_key)))
        content = single.serialize()
    finally:
        single.close()
    os.makedirs(inbox, mode=0o700, exist_ok=True)
    target = os.path.join(inbox, f"{run_key}.db")
    # The host's name, since process ids of two nodes may be equal.
    partial = os.path.join(inbox, f".{run_key}.{os.uname().nodename}.{os.getpid()}")
    descriptor = os.open(partial, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        os.rename(partial, target)
    except BaseException:
        os.unlink(partial)
        raise
    return target
