"""Which tests run while no other test does."""

from __future__ import annotations

from pathlib import Path

import pytest

_HERE = Path(__file__).parent

# They start whole programs and hold their figures or their timing against a truth: beside a busy
# neighbour on two cores they would measure the neighbour.
_ALONE = (
    "advisor/test_commands.py",
    "collectors/test_hwmon.py",
    "collectors/test_isolated.py",
    "collectors/test_nvidia.py",
    "collectors/test_nvidia_power.py",
    "collectors/test_nvml_stub.py",
    "collectors/test_rapl.py",
    "frugalwatch/commands/test_calibrate.py",
    "frugalwatch/crosscheck/test_compare.py",
    "frugalwatch/e2e/",
    "frugalwatch/screen/test_beside_a_run.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests below the paths above as `alone`."""
    for item in items:
        if item.path.is_relative_to(_HERE):
            name = item.path.relative_to(_HERE).as_posix()
            if name.startswith(_ALONE):
                item.add_marker(pytest.mark.alone)
