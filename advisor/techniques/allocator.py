"""Another memory allocator, preloaded, where one is installed."""

from __future__ import annotations

import glob
from collections.abc import Sequence

from advisor.techniques.base import Applicability, Change, Facts, Variant

_FOLDERS = ("/usr/lib/*", "/usr/lib64", "/usr/local/lib", "/lib/*")
_ALLOCATORS = {
    "jemalloc": "libjemalloc.so.2",
    "tcmalloc": "libtcmalloc_minimal.so.4",
    "mimalloc": "libmimalloc.so.2*",
}


class Allocator:
    """jemalloc, tcmalloc or mimalloc in place of the C library's malloc."""

    name = "allocator"

    def __init__(self, folders: Sequence[str] = _FOLDERS) -> None:
        self._folders = folders

    def applies(self, facts: Facts) -> Applicability:
        if facts.environment.get("LD_PRELOAD"):
            return Applicability(False, "you set LD_PRELOAD yourself")
        found = self._installed()
        if not found:
            return Applicability(False, f"none of {', '.join(_ALLOCATORS)} is installed")
        return Applicability(True, f"installed: {', '.join(found)}")

    def variants(self, facts: Facts) -> tuple[Variant, ...]:
        return tuple(
            Variant(
                name=name,
                technique=self.name,
                change=Change({"LD_PRELOAD": path}),
                needs=path,
                for_good="set LD_PRELOAD where the job is started",
                risk="memory use changes; a program that replaces malloc itself may fail",
            )
            for name, path in self._installed().items()
        )

    def _installed(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for name, file in _ALLOCATORS.items():
            for folder in self._folders:
                paths = sorted(glob.glob(f"{folder}/{file}"))
                if paths:
                    found.setdefault(name, paths[0])
        return found
