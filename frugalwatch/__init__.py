"""Measure the energy and carbon of an AI job, and find out which change would save most.

Inside a job, `phase`, `metric` and `step` tell the supervising sampler what is going on. Outside
`frugalwatch run` they do nothing. They import nothing but the standard library, and this package
root imports nothing at all until one of them is named.
"""

from __future__ import annotations

TYPE_CHECKING = False  # type checkers know the name; `typing` itself costs a job 4 ms
if TYPE_CHECKING:
    from frugalwatch.job_api import metric, phase, step

__all__ = ["__version__", "metric", "phase", "step"]
__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    if name in ("metric", "phase", "step"):
        from frugalwatch import job_api

        # Once named they are ordinary members, and a call costs no look-up through here.
        for each in ("metric", "phase", "step"):
            globals()[each] = getattr(job_api, each)
        return globals()[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
