"""Inputs and outputs become files that anybody can read, and come back bit by bit."""

from __future__ import annotations

import collections
import io
import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from frugalwatch.inside.path._frugalwatch.capture_files import (
    BudgetSpentError,
    Files,
    claim_process,
)
from frugalwatch.inside.path._frugalwatch.capture_load import load_call
from frugalwatch.inside.path._frugalwatch.capture_values import Flat, write_safetensors

torch = pytest.importorskip("torch")


class Pair(NamedTuple):
    left: Any
    right: Any


def stored(folder: Path, args: Any, kwargs: Any = None) -> tuple[Flat, Any]:
    """Write a call as the capture does, and read it back."""
    flat = Flat(torch)
    structure = {"args": flat.add(list(args), "in"), "kwargs": flat.add(kwargs or {}, "in")}
    (folder / "calls").mkdir(exist_ok=True)
    with (folder / "calls" / "000003-in.safetensors").open("wb") as file:
        write_safetensors(file, flat.tensors, {"structure": json.dumps(structure)})
    return flat, load_call(str(folder), 3) if not flat.missing else None


@pytest.mark.parametrize(
    "dtype",
    "bool uint8 int8 int16 int32 int64 float16 bfloat16 float32 float64 complex64".split(),
)
def test_every_common_type_comes_back_bit_by_bit(tmp_path: Path, dtype: str) -> None:
    kind = getattr(torch, dtype)
    value = torch.tensor([[0, 1, 1], [1, 0, 1]]).to(kind)
    _, (args, _) = stored(tmp_path, [value, torch.tensor(1).to(kind), value[:0]])
    assert [a.dtype for a in args] == [kind] * 3
    assert torch.equal(args[0], value)
    assert args[1].shape == ()
    assert args[2].shape == (0, 3)


def test_structure_texts_and_odd_numbers_come_back(tmp_path: Path) -> None:
    x = torch.arange(6.0).reshape(2, 3).t()  # not contiguous
    args = [x, {"a": [x, None, True], "b": (1, -2.5, float("inf"), "wörter")}, Pair(x + 1, 3)]
    kwargs = {"dtype": torch.float16, "device": torch.device("cpu"), "flag": False}
    flat, (got, named) = stored(tmp_path, args, kwargs)
    assert len(flat.tensors) == 2  # the same tensor is stored once
    assert torch.equal(got[0], x)
    assert torch.equal(got[1]["a"][0], x)
    assert got[1]["a"][1:] == [None, True]
    assert got[1]["b"] == (1, -2.5, float("inf"), "wörter")
    assert torch.equal(got[2][0], x + 1)
    assert named == kwargs


def test_a_dict_like_batch_and_numpy_arrays_are_kept(tmp_path: Path) -> None:
    numpy = pytest.importorskip("numpy")
    batch = collections.UserDict(ids=torch.ones(1, 2, dtype=torch.long))
    array = numpy.arange(4, dtype="int32")
    array.flags.writeable = False
    _, (args, _) = stored(tmp_path, [batch, array[::2]])
    assert torch.equal(args[0]["ids"], batch["ids"])
    assert args[1].tolist() == [0, 2]
    assert args[1].dtype == array.dtype


def test_the_file_is_what_the_safetensors_library_reads(tmp_path: Path) -> None:
    stored(tmp_path, [torch.ones(2, 3, dtype=torch.bfloat16), torch.arange(3)])
    data = (tmp_path / "calls" / "000003-in.safetensors").read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    assert size % 8 == 0
    assert header["in.0"] == {"dtype": "BF16", "shape": [2, 3], "data_offsets": [0, 12]}
    assert header["in.1"] == {"dtype": "I64", "shape": [3], "data_offsets": [12, 36]}
    assert len(data) == 8 + size + 36


def test_what_cannot_be_stored_says_what_and_why(tmp_path: Path) -> None:
    class Thing:
        pass

    sparse = torch.eye(2).to_sparse()
    flat, _ = stored(tmp_path, [torch.ones(1), Thing(), sparse, {1.5: 0, Thing: 1}])
    assert list(flat.tensors) == ["in.0"]
    assert [each.partition(":")[0] for each in flat.missing] == ["in.1", "in.2", "in.3"]
    assert "Thing (no tensor, number or text)" in flat.missing[0]
    assert "sparse" in flat.missing[1]


def test_the_digest_tells_values_types_and_places_apart() -> None:
    def digest(*args: Any) -> str:
        flat = Flat(torch)
        structure = flat.add(list(args), "in")
        return flat.digest(structure)

    x = torch.arange(4.0)
    assert digest(x) == digest(x.clone())
    others = [
        digest(x + 1),
        digest(x.double()),
        digest(x.reshape(2, 2)),
        digest(x, 1),
        digest([x]),
        digest(x.view(torch.int32)),
    ]
    assert len({digest(x), *others}) == 7


def test_storing_changes_neither_the_tensor_nor_its_graph(tmp_path: Path) -> None:
    x = torch.ones(2, requires_grad=True)
    y = x * 2
    version = y._version
    stored(tmp_path, [y])
    y.sum().backward()
    assert (y._version, x.grad.tolist()) == (version, [2.0, 2.0])


# -- the files -------------------------------------------------------------------------------------


def test_files_are_for_their_user_only_and_never_more_than_allowed(tmp_path: Path) -> None:
    files = claim_process(str(tmp_path), 1000)
    assert files is not None
    assert files.write("a", lambda f: f.write(b"x" * 600), 600) == 600
    with pytest.raises(BudgetSpentError):
        files.write("b", lambda f: f.write(b"x" * 600), 600)
    assert (tmp_path / "process-1" / "a").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "process-1").stat().st_mode & 0o777 == 0o700
    files.write("a", lambda f: f.write(b"x" * 900), 900)  # in its own place it may grow
    files.remove("a")
    files.write("b", lambda f: f.write(b"x" * 600), 600)
    assert sorted(p.name for p in (tmp_path / "process-1").iterdir()) == ["b"]


def test_the_budget_is_shared_by_all_processes(tmp_path: Path) -> None:
    first, second = claim_process(str(tmp_path), 1000), claim_process(str(tmp_path), 1000)
    assert first is not None
    assert second is not None
    first.write("a", lambda f: f.write(b"x" * 700), 700)
    assert second.left_bytes() == 300
    with pytest.raises(BudgetSpentError):
        second.write("a", lambda f: f.write(b"x" * 400), 400)
    assert [claim_process(str(tmp_path), 1) is None for _ in range(3)] == [False, False, True]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    files = claim_process(str(tmp_path), 1000)
    assert isinstance(files, Files)
    files.write("a", lambda f: f.write(b"old"), 3)

    def fail(file: io.BufferedWriter) -> None:
        file.write(b"half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        files.write("a", fail, 4)
    with pytest.raises(FileExistsError):
        files.write("a", lambda f: f.write(b"new"), 3, replace=False)
    assert {p.name: p.read_bytes() for p in (tmp_path / "process-1").iterdir()} == {"a": b"old"}
