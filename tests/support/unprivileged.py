"""Running a piece of a test as a user without rights, since tests often run as root."""

from __future__ import annotations

import json
import os
import traceback
import warnings
from collections.abc import Callable
from typing import Any

NOBODY = 65534


def as_nobody(
    function: Callable[[], object], meanwhile: Callable[[], None] | None = None
) -> Any:  # whatever JSON can carry
    """Call `function` in a forked child that gave up root, and return its result (through JSON).

    A fork keeps what is imported, so the child needs no right to read the interpreter's files.
    Where the test does not run as root nothing is given up. `meanwhile` runs here, in the parent.
    """
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        # Newer interpreters warn of a fork while threads run; this child starts none.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        try:
            if os.getuid() == 0:
                os.setgroups([])
                os.setresgid(NOBODY, NOBODY, NOBODY)
                os.setresuid(NOBODY, NOBODY, NOBODY)  # capabilities go with the last root id
            os.write(writer, json.dumps({"result": function()}).encode())
        except BaseException:
            os.write(writer, json.dumps({"error": traceback.format_exc()}).encode())
        finally:
            os._exit(0)
    os.close(writer)
    try:
        if meanwhile is not None:
            meanwhile()
        with os.fdopen(reader, "rb") as stream:
            answer = json.loads(stream.read())
    finally:
        os.waitpid(pid, 0)
    assert "error" not in answer, answer["error"]
    return answer["result"]
