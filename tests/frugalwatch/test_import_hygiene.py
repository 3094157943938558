"""What `frugalwatch run`, its sampler and its readers load: every module costs every job."""

from __future__ import annotations

import json

import pytest

from tests.frugalwatch.e2e.kit import REPOSITORY, Frugalwatch
from tests.support.fake_sysfs import Constant, PowercapTree, Zone
from tests.support.nvml_stub import NvmlStub, StubGpu

HEAVY = frozenset(
    """
    sqlite_utils textual rich jinja2 numpy pandas torch asyncio subprocess logging email http
    urllib.request ssl tempfile multiprocessing concurrent pathlib unittest xml importlib.metadata
    advisor codecarbon pyRAPL tomllib
    """.split()
)
# What pynvml itself loads (through ctypes.util), in the one process that loads pynvml.
BY_PYNVML = {"fw-nvidia": {"subprocess", "tempfile"}}
# Modules of a process at its end, as counted on Python 3.11, and a little room for other versions.
# More than that is a new import on the path of every job: make it lazy, or raise this knowingly.
CEILINGS = {"supervisor": 185, "fw-sampler": 235, "fw-nvidia": 215}

# Loaded at a process's start, before anything of ours; writes down what was loaded by its end.
SPY = """
import atexit, json, os, sys
def note(name=None):
    if name is None:
        name = open("/proc/self/comm").read().strip()
    with open(os.path.join({folder!r}, f"{{name}}.{{os.getpid()}}"), "w") as file:
        json.dump(sorted(sys.modules), file)
def leave(status, leave=os._exit):
    note()
    leave(status)
os._exit = leave
atexit.register(note, "supervisor")
"""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """The modules of every process of one run with a counter and a GPU, by the process's name."""
    tmp_path = tmp_path_factory.mktemp("run")
    spy, notes = tmp_path / "spy", tmp_path / "notes"
    spy.mkdir()
    notes.mkdir()
    (spy / "sitecustomize.py").write_text(SPY.format(folder=str(notes)))
    stub = NvmlStub(tmp_path, [StubGpu()])
    frugalwatch = Frugalwatch(tmp_path)
    frugalwatch.environment |= stub.environment()
    with PowercapTree(tmp_path, [Zone("package-0", Constant(50.0))]) as tree:
        frugalwatch.environment["FRUGALWATCH_SYSFS"] = tree.sysfs
        environment = {**frugalwatch.environment, "PYTHONPATH": f"{spy}:{REPOSITORY}"}
        run, _ = frugalwatch.measure("--", "sleep", "1.2", environment=environment)
    assert {d["domain"] for d in run["devices"]} >= {"cpu", "gpu"}
    frugalwatch.wait_for_state("done")
    found: dict[str, set[str]] = {}
    for path in notes.iterdir():
        found.setdefault(path.name.partition(".")[0], set()).update(json.loads(path.read_text()))
    return found


def test_a_run_loads_nothing_heavy_in_any_of_its_processes(loaded: dict[str, set[str]]) -> None:
    assert set(loaded) >= {"supervisor", "fw-sampler"}
    for process, modules in loaded.items():
        own = {m for m in modules if m != "sitecustomize"}
        heavy = {m for m in own if m in HEAVY or m.partition(".")[0] in HEAVY}
        assert heavy - BY_PYNVML.get(process, set()) == set(), process


def test_the_number_of_modules_stays_below_its_ceiling(loaded: dict[str, set[str]]) -> None:
    counts = {process: len(modules) for process, modules in loaded.items()}
    over = {p: n for p, n in counts.items() if p in CEILINGS and n > CEILINGS[p]}
    assert over == {}, counts


def test_where_no_daemon_is_nothing_of_it_is_loaded(loaded: dict[str, set[str]]) -> None:
    assert {m for modules in loaded.values() for m in modules if "daemon" in m} == set()


def test_without_budgets_and_alerts_nothing_of_them_is_loaded(
    loaded: dict[str, set[str]],
) -> None:
    for process, modules in loaded.items():
        found = {m for m in modules if m.startswith(("frugalwatch.budgets", "frugalwatch.alerts"))}
        assert found == set(), process


def test_the_supervisor_knows_no_database_and_no_driver(loaded: dict[str, set[str]]) -> None:
    """It lives as long as the job: what only the sampler needs stays out of it."""
    modules = loaded["supervisor"]
    for name in ("sqlite3", "pynvml", "psutil", "frugalwatch.ledger.journal"):
        assert name not in modules, name
