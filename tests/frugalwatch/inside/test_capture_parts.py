"""What is stored of a module: exported programs, pickles by value, seals, and a spread sample."""

from __future__ import annotations

import copy
import io
import os
import pickle
from pathlib import Path
from typing import Any

import pytest

from frugalwatch.inside.path._frugalwatch import capture, root_calls, seal
from frugalwatch.inside.path._frugalwatch.by_value import ByValuePickler
from frugalwatch.inside.path._frugalwatch.capture_export import export

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # of torch.export's own code

# -- exported programs -----------------------------------------------------------------------------


def exported(module: Any, path: Path, *args: Any, **kwargs: Any) -> tuple[dict[str, Any], Any]:
    """What `export` says, and the program from its file."""
    call = root_calls.RootCall(module, args, kwargs, 0, torch)
    with torch.no_grad():
        found = export(torch, copy.deepcopy(module), call, str(path / "program.pt2"))
        return found, torch.export.load(str(path / "program.pt2")).module()


def test_a_transformer_is_exported_with_open_batch_and_length(tmp_path: Path) -> None:
    layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, dropout=0.5)
    model = nn.TransformerEncoder(layer, 2)  # in training mode, from one sample
    found, program = exported(model, tmp_path, torch.randn(1, 5, 16))
    assert found["dynamic"] == {"src": [0, 1]}
    assert found["max_abs_difference"] < 1e-5
    x = torch.randn(4, 9, 16)
    with torch.no_grad():
        assert torch.allclose(program(x), copy.deepcopy(model).eval()(x), atol=1e-5)


def test_texts_in_the_answer_do_not_spoil_the_program(tmp_path: Path) -> None:
    class Labelled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 2)

        def forward(self, batch: Any) -> Any:
            batch["logits"] = self.layer(batch["x"])  # into the caller's dict, as some do
            batch["kind"] = "label"
            return batch

    found, program = exported(Labelled(), tmp_path, {"x": torch.ones(3, 4)})
    assert found["only_tensors"] is True
    assert list(found["dynamic"]) == ["batch_x"]
    assert program({"x": torch.ones(5, 4)})["logits"].shape == (5, 2)


def test_a_module_that_decides_by_values_says_why_it_is_not_exported(tmp_path: Path) -> None:
    class Deciding(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 2)

        def forward(self, x: Any) -> Any:
            return self.layer(x) if x.sum() > 0 else x

    with pytest.raises(RuntimeError, match=r"fixed shapes: .*data-dependent"):
        exported(Deciding(), tmp_path, torch.ones(2, 4))


# -- pickles by value ------------------------------------------------------------------------------

SCALE = 3.0


def scaled(x: Any) -> Any:
    return x * SCALE


class Base(nn.Module):
    factor = 2.0

    def __init__(self, size: int = 4) -> None:
        super().__init__()
        self.layer = nn.Linear(size, size)

    @property
    def size(self) -> int:
        return int(self.layer.in_features)

    @staticmethod
    def shift(x: Any) -> Any:
        return x + 1

    def forward(self, x: Any) -> Any:
        return scaled(self.layer(x)) * self.factor


class Derived(Base):
    def __init__(self) -> None:
        super().__init__()
        bias = 0.25
        self.activation = lambda x: torch.relu(x) + bias

    def forward(self, x: Any) -> Any:
        return self.activation(self.shift(super().forward(x)))


def test_classes_functions_and_closures_travel_by_value() -> None:
    module, out = Derived(), io.BytesIO()
    ByValuePickler(out, {__name__}).dump(module)
    again = pickle.loads(out.getvalue())
    assert type(again) is not Derived  # made anew, not imported
    assert again.size == 4
    x = torch.randn(2, 4)
    assert torch.equal(again(x), module(x))
    assert again.state_dict().keys() == module.state_dict().keys()


def test_what_cannot_travel_raises() -> None:
    import enum
    import threading

    module = Derived()
    module.lock = threading.Lock()
    with pytest.raises(TypeError, match="lock"):
        ByValuePickler(io.BytesIO(), {__name__}).dump(module)
    kind = enum.Enum("kind", "a b", module=__name__)
    with pytest.raises(pickle.PicklingError, match="need cloudpickle"):
        ByValuePickler(io.BytesIO(), {__name__}).dump(kind)


# -- seals -----------------------------------------------------------------------------------------


@pytest.fixture
def sealed(tmp_path: Path) -> tuple[Path, Path, str]:
    """A key, a file and its mark."""
    tmp_path.chmod(0o700)
    key, file = tmp_path / "key", tmp_path / "module.pickle"
    key.write_bytes(os.urandom(32))
    file.write_bytes(b"content")
    key.chmod(0o600)
    file.chmod(0o600)
    return key, file, seal.seal(str(key), "module.pickle", b"content")


def read(key: Path, file: Path, mark: str, name: str = "module.pickle") -> bytes:
    return seal.read_sealed(str(key), str(file), name, mark)


def test_what_this_user_made_here_may_be_loaded(sealed: tuple[Path, Path, str]) -> None:
    assert read(*sealed) == b"content"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda key, file: file.write_bytes(b"other"),
        lambda key, file: key.write_bytes(os.urandom(32)),
        lambda key, file: file.chmod(0o640),
        lambda key, file: key.chmod(0o604),
        lambda key, file: file.parent.chmod(0o750),
    ],
    ids=["changed", "another key", "readable by others", "key readable", "folder open"],
)
def test_everything_else_is_refused(sealed: tuple[Path, Path, str], spoil: Any) -> None:
    key, file, mark = sealed
    spoil(key, file)
    with pytest.raises(seal.NotOursError):
        read(key, file, mark)


def test_no_mark_another_name_another_machine_and_links_are_refused(
    sealed: tuple[Path, Path, str], monkeypatch: Any
) -> None:
    key, file, mark = sealed
    for given, name in (("", "module.pickle"), (mark, "program.pt2")):
        with pytest.raises(seal.NotOursError):
            read(key, file, given, name)
    link = file.with_name("link")
    link.symlink_to(file)
    with pytest.raises(OSError, match="symbolic links"):
        read(key, link, mark)
    monkeypatch.setattr(seal, "machine", lambda: b"another")
    with pytest.raises(seal.NotOursError):
        read(key, file, mark)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_files_of_another_user_are_refused(sealed: tuple[Path, Path, str]) -> None:
    key, file, mark = sealed
    os.chown(file, 65534, 65534)
    with pytest.raises(seal.NotOursError, match="another user"):
        read(key, file, mark)


# -- the sample ------------------------------------------------------------------------------------


@pytest.mark.parametrize("calls", [1, 8, 9, 100, 1000])
def test_the_sample_is_spread_evenly_and_bounded(calls: int) -> None:
    use = capture._Use()
    files: set[int] = set()
    most_ever = 0
    for number in range(calls):
        if use.wants_next():
            files.add(number)
            files -= set(use.keep(number, 8))
        most_ever = max(most_ever, len(files))
    assert most_ever <= 8
    assert len(files) >= min(calls, 4)
    assert sorted(files) == list(range(0, calls, use.stride))
