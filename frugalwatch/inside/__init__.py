"""What goes into a user's job, and nothing else: see `path/`, the folder put on its PYTHONPATH.

Nothing in `path/` imports anything of ours outside of it, and no process of ours imports it, but
for `job_api`, which shares the way to the sampler. It runs on the job's interpreter (CPython 3.9 to
3.13; older ones pass through untouched) and next to the job's libraries, whatever their version.

The contract with the job:

- Results, fast paths, compilation, warnings and tracebacks are those of the job without us. So our
  functions return before the job's own code goes on: none is on the stack while it runs.
- A fault of ours is told to the sampler as a `problem`, and the job goes on.
- `sys.modules` holds `_frugalwatch` and nothing else that the job did not import.
- What is not asked for (FRUGALWATCH_HOOK) and touches models is not loaded.
"""

from __future__ import annotations

import os


def folder() -> str:
    """The folder that goes on a job's PYTHONPATH."""
    return os.path.join(os.path.dirname(os.path.abspath(__file__)), "path")
