# mypy: ignore-errors
"""Starts the hook in a Python process of a job, then gives way to the job's own `sitecustomize`.

Any interpreter may find this file, so it keeps to what Python 2.7 can parse and does nothing there.
When it is done, `sys.path` and `sys.modules["sitecustomize"]` are as if it had never been there.
"""

import os
import sys


def _start():
    if sys.version_info < (3, 9) or not os.environ.get("FRUGALWATCH_PIPE"):
        return
    try:
        from _frugalwatch.start import start

        start()
    except Exception:  # noqa: BLE001 - a fault of ours is none of the job's
        return


def _give_way():
    """Import the job's own `sitecustomize`; ImportError if there is none, as `site` expects."""
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [entry for entry in sys.path if entry != here]
    sys.path_importer_cache.pop(here, None)
    kept = sys.modules.pop("sitecustomize", None)  # Python 2 empties a module that nobody holds
    import sitecustomize  # noqa: F401

    return kept


_start()
_give_way()
