"""Zeros by size and gradient, learnt again: the compressed file gets smaller, the time does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxruntime")

from advisor.in_job.compressing import unstructured
from tests.advisor.in_job.compressing_kit import clusters, job, residual_network, taught

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def teacher() -> Any:
    return taught(residual_network(), *clusters(256, 1), steps=40)


def pictures() -> list[tuple[Any, ...]]:
    return [(each[None],) for each in clusters(48, 7)[0]]


def test_zeros_make_the_compressed_file_smaller(
    tmp_path: Path, teacher: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unstructured, "_SHARES", (0.5, 0.8))
    with job(tmp_path, teacher, pictures(), epochs=1, limit=1.0) as work:
        found = unstructured.build(work)
        assert found["stopped"] == "all shares were tried"
        first, second = work.steps
        assert 0.4 < first["zeros"] < 0.55
        assert 0.7 < second["zeros"] < 0.85
        plain = first["plain_compressed_bytes"]
        assert second["compressed_bytes"] < 0.6 * plain
        assert second["bytes"] > plain  # the file itself holds the zeros like other numbers
        assert second["parameters"] == first["parameters"]


def test_zeros_stay_zeros_while_it_learns(tmp_path: Path, teacher: Any) -> None:
    with job(tmp_path, teacher, pictures(), epochs=1, limit=1.0, pattern="2:4") as work:
        unstructured.build(work)
        state = work.state(work.steps[-1])
    weight = state["stages.0.first.weight"]
    fours = weight.reshape(weight.shape[0], -1, 4)
    assert int((fours == 0).sum(-1).min()) >= 2
    assert int((fours != 0).sum(-1).max()) == 2


def test_too_many_zeros_are_undone(
    tmp_path: Path, teacher: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unstructured, "_SHARES", (0.999,))
    with job(tmp_path, teacher, pictures(), epochs=1) as work:
        found = unstructured.build(work)
        assert "step 1 was rolled back" in found["stopped"]
        assert work.steps == []
