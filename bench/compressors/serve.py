"""Makes one tool's model of a task, then answers requests whenever it is told to.

    python serve.py TOOL TASK CACHE FOLDER

Prints a JSON line when it is ready. Each line of standard input is a number of requests, answered
with the CPU nanoseconds that they took, so that tools can take turns within a second.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time


def main() -> None:
    began_s = time.monotonic()
    tool, name, cache, folder = sys.argv[1:]
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = "1"
    with contextlib.redirect_stdout(sys.stderr):  # what tools print is no figure
        from makers import TOOLS
        from tasks import load

        task = load(name, cache)
        answer, what = TOOLS[tool](task, folder)
        made_s = time.monotonic() - began_s
        likeness = task.likeness(answer, task.eager())
    print(json.dumps({"what": what, "made_s": made_s, "quality": likeness}), flush=True)
    place = 0
    for line in sys.stdin:
        count = int(line)
        chosen = [task.requests[(place + n) % len(task.requests)] for n in range(count)]
        place += count
        cpu_ns = time.process_time_ns()
        for request in chosen:
            answer(request)
        print(time.process_time_ns() - cpu_ns, flush=True)


if __name__ == "__main__":
    main()
