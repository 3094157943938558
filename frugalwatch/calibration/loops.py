"""One busy loop of one kind, run as a script in a process of its own by `workloads`.

    python -P loops.py KIND      prints "ready", works from the first line on stdin until it closes

Each loop keeps one CPU busy in one way. Nothing of ours is imported: numpy or torch must be able to
load as they would in a job. Exit status 3: this kind needs something that is not installed.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable

CANNOT = 3


def scalar() -> Callable[[], object]:
    """Branches and small integers: the interpreter itself."""

    def step() -> int:
        value = 12345
        for _ in range(20_000):
            value = (value * 1_103_515_245 + 12_345) & 0x7FFF_FFFF
            if value & 1:
                value ^= 0x5A5A
        return value

    return step


def memory() -> Callable[[], object]:
    """Copying more than any cache holds."""
    source, target = bytearray(b"\x5a" * (96 << 20)), bytearray(96 << 20)

    def step() -> None:
        target[:] = source

    return step


def avx_fp32() -> Callable[[], object]:
    """Matrix products in 32-bit floating point: the widest vector units that the library uses."""
    try:
        import numpy
    except ImportError:
        import torch

        a = torch.rand(512, 512)
        torch.set_num_threads(1)
        return lambda: torch.mm(a, a)
    b = numpy.random.default_rng(1).random((512, 512), dtype=numpy.float32)
    return lambda: b @ b


def int8() -> Callable[[], object]:
    """Matrix products in 8-bit integers."""
    import torch

    torch.set_num_threads(1)
    a = torch.randint(-127, 127, (512, 512), dtype=torch.int8)
    if not hasattr(torch, "_int_mm"):
        raise ImportError("this torch has no 8-bit matrix product")
    product = torch._int_mm
    product(a, a)
    return lambda: product(a, a)


KINDS = {"scalar": scalar, "memory": memory, "avx-fp32": avx_fp32, "int8": int8, "sibling": scalar}


def main() -> int:
    """Prepare, say so, wait for the word, work until stdin closes."""
    try:
        step = KINDS[sys.argv[1]]()
    except (ImportError, RuntimeError, AttributeError) as error:
        print(error, file=sys.stderr)
        return CANNOT
    step()
    os.write(1, b"ready\n")
    if not sys.stdin.readline():
        return 0
    done = threading.Event()

    # The word to stop comes while the loop works, so somebody else has to listen.
    def listen() -> None:
        sys.stdin.read()
        done.set()

    threading.Thread(target=listen, daemon=True).start()
    while not done.is_set():
        step()
    return 0


if __name__ == "__main__":
    sys.exit(main())
