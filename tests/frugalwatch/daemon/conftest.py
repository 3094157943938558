"""A daemon with a counter that a test moves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.frugalwatch.daemon.kit import DaemonKit
from tests.support.fake_sysfs import PowercapTree, Zone


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[PowercapTree]:
    """One package, whose counter is at 1000 J until a test sets it."""
    with PowercapTree(tmp_path, [Zone("package-0", start_j=1000.0)]) as tree:
        yield tree


@pytest.fixture
def daemon(tmp_path: Path, tree: PowercapTree) -> Iterator[DaemonKit]:
    """Not started yet; killed at the end if it runs then."""
    kit = DaemonKit(tmp_path, tree)
    yield kit
    kit.close()
