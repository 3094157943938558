"""Whose a model file is, and what it is, before anything loads it."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest

from advisor.workloads.files import checked, refuse_foreign, refuse_pickle, refuse_unexported
from frugalwatch.errors import NotFoundError, UsageError


def archive(path: Path, *names: str) -> str:
    with zipfile.ZipFile(path, "w") as file:
        for name in names:
            file.writestr(name, "x")
    return str(path)


def test_a_file_of_ones_own_is_loaded(tmp_path: Path) -> None:
    path = archive(tmp_path / "model.pt", "model/code/net.py", "model/data.pkl")
    refuse_foreign(path)
    refuse_pickle(path)


def test_a_file_that_everybody_can_write_is_not(tmp_path: Path) -> None:
    path = archive(tmp_path / "model.pt", "model/code/net.py")
    os.chmod(path, 0o666)
    with pytest.raises(UsageError, match="not loaded") as caught:
        refuse_foreign(path)
    assert "written by everybody" in str(caught.value)
    os.chmod(path, 0o600)
    os.chmod(tmp_path, 0o777)
    with pytest.raises(UsageError, match="not loaded"):
        refuse_foreign(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_not(tmp_path: Path) -> None:
    path = archive(tmp_path / "model.pt", "model/code/net.py")
    os.chown(path, 65534, 65534)
    with pytest.raises(UsageError) as caught:
        refuse_foreign(path)
    assert "another user's" in str(caught.value)


def test_weights_and_pickled_models_are_told_from_torchscript(tmp_path: Path) -> None:
    path = archive(tmp_path / "weights.pt", "weights/data.pkl", "weights/data/0")
    with pytest.raises(UsageError, match="no TorchScript") as caught:
        refuse_pickle(path)
    assert "workload.py" in caught.value.hint
    (tmp_path / "old.pt").write_bytes(b"\x80\x02")
    with pytest.raises(UsageError, match="no TorchScript"):
        refuse_pickle(str(tmp_path / "old.pt"))
    with pytest.raises(UsageError, match="no exported program"):
        refuse_unexported(str(tmp_path / "old.pt"))


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no file nope\.onnx"):
        checked("nope.onnx", "the ONNX file")
    with pytest.raises(UsageError, match="not a file"):
        checked(str(tmp_path), "the ONNX file")
