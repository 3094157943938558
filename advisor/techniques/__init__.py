"""Every technique, in the order in which they are tried. To add one: a file here, a line below."""

from __future__ import annotations

from advisor.techniques.allocator import Allocator
from advisor.techniques.base import Technique
from advisor.techniques.spinning import Spinning
from advisor.techniques.threads import Threads

__all__ = ["techniques"]


def techniques() -> tuple[Technique, ...]:
    """The techniques that need nothing but a command."""
    return (Threads(), Spinning(), Allocator())
