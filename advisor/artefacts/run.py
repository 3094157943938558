"""Builds one artefact in this process: `python -m advisor.artefacts.run BUILDER ORDER RESULT`.

BUILDER is a module beside this file with `build(order) -> result`; both are JSON files. A process
of its own, so that what a builder imports, uses and leaves behind ends with it.
"""

from __future__ import annotations

import importlib
import json
import os
import select
import sys
import threading
import traceback

from advisor.workshop import CannotBuildError

_LONGEST_REASON = 400


def main(builder: str, order_path: str, result_path: str) -> None:
    with open(order_path, encoding="utf-8") as file:
        order = json.load(file)
    end_with(int(order.get("ends_with") or 0))
    try:
        result = importlib.import_module(f"advisor.artefacts.{builder}").build(order)
    except CannotBuildError as reason:
        result = {"why_not": str(reason)}
    except ImportError as error:
        package = (error.name or "a package").partition(".")[0]
        result = {
            "why_not": f"needs {package} beside frugalwatch: pip install 'frugalwatch[advisor]'"
        }
    except Exception as error:  # noqa: BLE001 - whatever a model makes a package raise
        traceback.print_exc()
        text = " ".join(f"{type(error).__name__}: {error}".split())
        result = {"why_not": text[:_LONGEST_REASON]}
    with open(result_path, "w", encoding="utf-8") as file:
        json.dump(result, file)


def end_with(advise: int) -> None:
    """End when the process of this number does: nobody would read the result of an orphan.

    One that goes on would write where a resumed advise builds the same.
    """
    if not advise:
        return
    try:
        descriptor = os.pidfd_open(advise)
    except ProcessLookupError:
        os._exit(1)
    except OSError:  # a kernel before 5.3, or a sandbox without it
        return

    def wait() -> None:
        select.select([descriptor], [], [])
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


if __name__ == "__main__":
    main(*sys.argv[1:])
