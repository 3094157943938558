"""How far outputs moved, from files as the hook writes them."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path

import pytest

from advisor.agreement import compare
from advisor.outputs import Output, Tensor, read_outputs


def output(call: int, *rows: tuple[float, ...], inputs: str = "same") -> Output:
    values = [value for row in rows for value in row]
    raw = struct.pack(f"<{len(values)}f", *values)
    return Output(call, inputs, False, (Tensor((len(rows), len(rows[0])), "F32", raw),))


def test_same_bits_are_exact() -> None:
    own = [output(0, (1.0, 2.0)), output(1, (math.nan, 2.0))]
    found = compare(own, own)
    assert found.exact
    assert (found.calls, found.samples, found.same_class) == (2, 2, 2)


def test_distance_is_relative_to_the_size_of_the_outputs() -> None:
    found = compare([output(0, (3.0, 4.0))], [output(0, (3.0, 4.05))])
    assert not found.exact
    assert not found.to_rounding
    assert found.distance == pytest.approx(0.01, rel=1e-4)


def test_the_last_digit_is_rounding() -> None:
    found = compare([output(0, (3.0, 4.0))], [output(0, (3.0, 4.000001))])
    assert found.to_rounding
    assert not found.exact


def test_one_call_that_is_far_off_is_not_hidden_by_the_others() -> None:
    own = [output(n, (1.0, 2.0)) for n in range(1000)]
    changed = [*own[:-1], output(999, (1.0, 2.01))]
    found = compare(own, changed)
    assert found.distance < 1e-3 < found.largest
    assert not found.to_rounding


def test_classes_are_counted_where_rows_are_scores() -> None:
    own = [output(0, (1.0, 2.0), (3.0, 1.0))]
    changed = [output(0, (1.0, 2.0), (0.9, 1.0))]
    found = compare(own, changed)
    assert (found.samples, found.same_class) == (2, 1)


def test_calls_with_other_inputs_are_not_compared() -> None:
    found = compare([output(0, (1.0, 2.0))], [output(0, (9.0, 2.0), inputs="other")])
    assert found.calls == 0
    assert not found.exact


def test_no_number_in_one_of_them_is_infinitely_far() -> None:
    found = compare([output(0, (1.0, 2.0))], [output(0, (1.0, math.nan))])
    assert math.isinf(found.distance)
    shapes = compare([output(0, (1.0, 2.0))], [output(0, (1.0, 2.0, 3.0))])
    assert math.isinf(shapes.distance)


@pytest.mark.parametrize(
    ("dtype", "raw", "values"),
    [
        ("F32", struct.pack("<2f", 1.5, -2), [1.5, -2]),
        ("F64", struct.pack("<d", 0.1), [0.1]),
        ("F16", struct.pack("<2e", 1.5, -2), [1.5, -2]),
        ("BF16", struct.pack("<2H", 0x3FC0, 0xC000), [1.5, -2]),
        ("I64", struct.pack("<q", -7), [-7]),
        ("BOOL", b"\1", []),
    ],
)
def test_every_type_of_number_is_read(dtype: str, raw: bytes, values: list[float]) -> None:
    assert list(Tensor((len(values),), dtype, raw).values()) == values


def test_files_that_were_cut_off_are_left_out(tmp_path: Path) -> None:
    folder = tmp_path / "outputs-7"
    folder.mkdir()
    header = json.dumps(
        {
            "__metadata__": {"inputs": "digest", "learning": "no"},
            "out": {"dtype": "F32", "shape": [1, 2], "data_offsets": [0, 8]},
        }
    ).encode()
    whole = struct.pack("<Q", len(header)) + header + struct.pack("<2f", 1, 2)
    (folder / "000000003.safetensors").write_bytes(whole)
    (folder / "000000004.safetensors").write_bytes(whole[:-3])
    (folder / "000000005.safetensors").write_bytes(whole[:5])
    (read,) = read_outputs(str(tmp_path))
    assert (read.call, read.inputs, list(read.tensors[0].values())) == (3, "digest", [1, 2])
