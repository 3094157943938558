"""Large embedding tables become a narrow table and a linear layer; shared ones are left alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxruntime")

from advisor.in_job.compressing import tables
from advisor.in_job.compressing.job import CannotCompressError
from tests.advisor.in_job.compressing_kit import job, tokens, transformer

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(300)]


def words(rows: int = 2000) -> Any:
    import torch

    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Embedding(rows, 16), torch.nn.Flatten(), torch.nn.Linear(112, 4)
    ).eval()


def test_a_large_table_gets_narrower_and_the_file_smaller(tmp_path: Path) -> None:
    model = words()
    with job(tmp_path, model, tokens(most=2000), epochs=1, limit=1.0) as work:
        found = tables.build(work)
        assert found["tables"] == ["0"]
        assert [step["narrower"] for step in work.steps] == [2, 4, 8]
        whole = sum(p.numel() for p in model.parameters())
        assert work.steps[-1]["parameters"] < 0.2 * whole
        assert work.steps[-1]["bytes"] < 0.6 * 4 * whole


def test_rows_that_are_used_often_keep_more() -> None:
    import torch

    table = words()[0]
    with torch.no_grad():
        table.weight[:100, 4:] = 0.01 * table.weight[:100, 4:]  # in a few directions
    counts = torch.zeros(2000)
    counts[:100] = 10_000
    new = tables.factorised(table, 2, counts)
    error = (new(torch.arange(2000)) - table.weight).norm(dim=1)
    assert float(error[:100].mean()) < 0.5 * float(error[100:].mean())
    exact = tables.factorised(table, 1, counts)
    assert torch.allclose(exact(torch.arange(2000)), table.weight, atol=1e-4)


def test_a_table_that_the_head_shares_is_left_alone() -> None:
    import torch

    model = torch.nn.Sequential(torch.nn.Embedding(500, 8), torch.nn.Linear(8, 500, bias=False))
    model[1].weight = model[0].weight
    with pytest.raises(CannotCompressError, match="its table 0 is shared with the head"):
        tables.large(model)


def test_a_small_table_is_not_worth_it() -> None:
    with pytest.raises(CannotCompressError, match="no embedding table"):
        tables.large(transformer())
