"""JSON of a process that may have been killed while it wrote."""

from __future__ import annotations

from pathlib import Path

import pytest

from frugalwatch.json_files import read_json, read_json_lines


@pytest.mark.parametrize("content", [b'{"a": 1', b"[1, 2]", b"\xff\xfe", b""])
def test_what_is_no_whole_object_is_empty(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(content)
    assert read_json(str(path)) == {}


def test_a_file_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert read_json(str(tmp_path / "none")) == {}
    assert read_json_lines(str(tmp_path / "none")) == []


def test_only_the_whole_objects_among_lines_are_read(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_bytes(b'{"call": 1}\n[2]\n{"name": "\xff"}\n{"call": 3')
    assert read_json_lines(str(path)) == [{"call": 1}, {"name": "�"}]
