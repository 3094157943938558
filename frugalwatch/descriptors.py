"""The file descriptors that were handed to us for the job, and how we get out of their way."""

from __future__ import annotations

import os
from collections.abc import Iterable

STDIN, STDOUT, STDERR = 0, 1, 2


def inherited_descriptors() -> tuple[int, ...]:
    """Descriptors that our caller gave us. To be called before anything of ours is opened.

    Python opens its own files with close-on-exec, and an inherited one cannot have that flag.
    """
    try:
        listed = [int(name) for name in os.listdir("/proc/self/fd")]
    except OSError:
        return (STDIN, STDOUT, STDERR)
    return tuple(descriptor for descriptor in listed if _is_inherited(descriptor))


def reserve_standard() -> None:
    """Fill closed standard descriptors, so that nothing of ours is taken for the job's output.

    What fills them closes on exec: the job still finds them closed.
    """
    descriptor = os.open(os.devnull, os.O_RDWR)
    while descriptor <= STDERR:
        descriptor = os.open(os.devnull, os.O_RDWR)
    os.close(descriptor)


def let_go(inherited: Iterable[int], *, keep: tuple[int, ...] = ()) -> None:
    """Close what was the job's, once it has it, all but `keep`.

    A pipe must end when the *job* closes it: a reader behind us waits for that, and a writer before
    us has to get its SIGPIPE. Standard descriptors are pointed at /dev/null instead.
    """
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in inherited:
        if descriptor in keep:
            continue
        try:
            if descriptor <= STDERR:
                os.dup2(null, descriptor, inheritable=False)
            else:
                os.close(descriptor)
        except OSError:
            continue
    os.close(null)


def _is_inherited(descriptor: int) -> bool:
    try:
        return os.get_inheritable(descriptor)
    except OSError:  # the listing's own descriptor, closed by now
        return False
