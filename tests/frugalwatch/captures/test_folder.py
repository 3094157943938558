"""Captures: how much they may hold, who can enter, and when they go."""

from __future__ import annotations

import json
import os
import stat
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from frugalwatch.captures import folder as captures
from frugalwatch.captures.afterwards import remove_halves
from frugalwatch.captures.limits import Limits, parse_limits
from frugalwatch.captures.reading import held_locks, read_capture
from frugalwatch.captures.render import capture_lines, size
from frugalwatch.commands.capture import command
from frugalwatch.errors import FrugalWatchError, NotFoundError, UsageError

DAY_S = 86_400


def make(place: Path, limits: Limits = Limits()) -> Path:  # noqa: B008
    found = captures.new_capture(str(place), limits, ["python", "x.py"], "/", {"HOME": None})
    return Path(found)


# -- limits ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Limits()),
        ("calls=5", Limits(calls=5)),
        ("bytes=1.5GB, seconds=30", Limits(bytes=1_500_000_000, seconds=30.0)),
        ("bytes=20000,days=0.5", Limits(bytes=20_000, days=0.5)),
    ],
)
def test_limits_are_read_as_typed(text: str, expected: Limits) -> None:
    assert parse_limits(text) == expected


@pytest.mark.parametrize("text", ["python", "calls=many", "bytes=3XB", "calls=0", "cals=3", "="])
def test_what_is_no_limit_is_refused_before_anything_runs(text: str) -> None:
    with pytest.raises(UsageError):
        parse_limits(text)


# -- the folder ------------------------------------------------------------------------------------


def test_a_capture_is_private_numbered_and_says_when_it_goes(tmp_path: Path) -> None:
    place = tmp_path / "state" / "captures"
    first, second = make(place), make(place, Limits(days=2))
    assert [p.name for p in (first, second)] == ["C1", "C2"]
    for path in (place, first, first / "manifest.json", place / "key"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0
    assert len((place / "key").read_bytes()) == 32
    manifest = captures.read_manifest(str(second))
    created, expires = (
        time.mktime(time.strptime(str(manifest[key]), "%Y-%m-%dT%H:%M:%SZ"))
        for key in ("created_utc", "expires_utc")
    )
    assert expires - created == 2 * DAY_S


def test_a_number_is_not_given_twice(tmp_path: Path) -> None:
    make(tmp_path / "c")
    captures.delete_capture(str(make(tmp_path / "c")))
    assert make(tmp_path / "c").name == "C3"


def test_a_folder_that_others_can_enter_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "captures"
    place.mkdir(mode=0o755)
    place.chmod(0o755)
    with pytest.raises(FrugalWatchError, match="cannot be kept") as caught:
        make(place)
    assert caught.value.hint == f"chmod 700 {place}"


def test_a_link_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "captures").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FrugalWatchError):
        make(tmp_path / "captures")


def test_expired_captures_are_deleted_and_others_stay(tmp_path: Path) -> None:
    week, day = make(tmp_path / "c"), make(tmp_path / "c", Limits(days=1))
    place = str(tmp_path / "c")
    assert captures.purge_expired(place) == []
    assert captures.purge_expired(place, time.time() + 2 * DAY_S) == [day.name]
    assert week.exists()
    assert captures.purge_expired(place, time.time() + 8 * DAY_S) == [week.name]
    assert captures.purge_expired(str(tmp_path / "nothing here")) == []


def test_captures_are_found_by_name_number_and_last(tmp_path: Path) -> None:
    place = str(tmp_path / "c")
    make(tmp_path / "c"), make(tmp_path / "c")
    assert [Path(captures.find_capture(place, n)).name for n in ("C1", "c1", "1", "last")] == [
        *("C1", "C1", "C1", "C2")
    ]
    with pytest.raises(NotFoundError):
        captures.find_capture(place, "C9")
    with pytest.raises(NotFoundError):
        captures.find_capture(place, "../C1")


# -- reading ---------------------------------------------------------------------------------------


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A capture of a job that was killed while it wrote."""
    path = make(tmp_path / "state" / "frugalwatch" / "captures")
    process = path / "process-1"
    (process / "calls").mkdir(parents=True)
    (process / "module-0").mkdir()
    call = {"call": 0, "module": 0, "training": False, "inputs_digest": "a", "duration_ns": 5000}
    shapes = [[1, 3], [4, 3], [4, 3, 1]]
    lines = [
        json.dumps({**call, "call": n, "inputs": {"in.0": ["F32", shape]}})
        for n, shape in enumerate(shapes[:2])
    ]
    (process / "calls.jsonl").write_text("\n".join([*lines, '{"call": 2, "mod']))
    (process / "calls" / "000001-in.safetensors").write_bytes(b"")
    (process / "process.json").write_text('{"pid": 1')
    return path


def test_whatever_is_whole_of_a_killed_jobs_capture_counts(broken: Path) -> None:
    (module,) = read_capture(str(broken)).modules
    assert (module.calls, module.kept, module.repeat_rate) == (2, 1, 0.5)
    assert module.inputs[0].shape == ((1, 4), (3, 3))
    assert module.part("program")["why_not"] == "the job ended before it could be stored"
    text = "\n".join(capture_lines(read_capture(str(broken)), None, 80))
    assert "in.0 F32 [1..4 x 3]" in text
    assert "50 % of 2 calls" in text
    assert max(map(len, text.splitlines()[1:])) <= 120


def test_a_module_that_is_being_stored_is_waited_for(broken: Path) -> None:
    import fcntl

    with (broken / "process-1" / "module-0" / "storing.lock").open("w") as lock:
        assert held_locks(str(broken)) == []
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert held_locks(str(broken)) == [lock.name]
        (module,) = read_capture(str(broken)).modules
        assert module.part("pickle")["why_not"] == "still being stored"
    assert held_locks(str(broken)) == []


def test_halves_of_files_go_when_nobody_writes_them(broken: Path) -> None:
    import fcntl

    module = broken / "process-1" / "module-0"
    for name in ("program.77.pt2", "about.json.77.new", "program.pt2", "weights.safetensors"):
        (module / name).write_bytes(b"x")
    with (module / "storing.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        remove_halves(str(broken))
        assert (module / "program.77.pt2").exists()
    remove_halves(str(broken))
    left = sorted(path.name for path in module.iterdir())
    assert left == ["program.pt2", "storing.lock", "weights.safetensors"]


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.00 kB"), (91_780_095, "91.8 MB"), (2e9, "2.00 GB")],
)
def test_sizes_are_written_for_people(count: float, text: str) -> None:
    assert size(count) == text


# -- the command -----------------------------------------------------------------------------------


def test_list_show_and_delete(
    broken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    run = CliRunner().invoke
    shown = run(command, ["list"]).output
    assert "C1" in shown
    assert "python x.py" in shown
    assert "repeats  50 % of 2 calls" in run(command, ["show"]).output
    assert json.loads(run(command, ["list", "--json"]).output)["schema"] == "frugalwatch.captures/1"
    document = json.loads(run(command, ["show", "--json"]).output)
    assert document["processes"][0]["modules"][0]["repeat_rate"] == 0.5
    assert run(command, ["delete"]).exit_code == 2
    assert run(command, ["delete", "C1", "--all"]).exit_code == 2
    assert run(command, ["delete", "C1"]).output.startswith("deleted C1, ")
    assert not broken.exists()
    assert "no captures" in run(command, ["list"]).output
    assert isinstance(run(command, ["show", "C1"]).exception, NotFoundError)


def test_the_command_deletes_what_has_expired(
    broken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    manifest = captures.read_manifest(str(broken))
    captures.write_manifest(str(broken), {**manifest, "expires_utc": "2020-01-01T00:00:00Z"})
    assert "expired and deleted: C1" in CliRunner().invoke(command, ["list"]).output
    assert sorted(os.listdir(broken.parent)) == ["key", "last"]
