"""What the daemon's loop loads: what the sampler loads, its own package, and nothing heavy."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.frugalwatch.e2e.kit import REPOSITORY
from tests.frugalwatch.test_import_hygiene import HEAVY

_LOADED = "import json, sys; import {}; print(json.dumps(sorted(sys.modules)))"


def _modules(name: str) -> set[str]:
    found = subprocess.run(
        [sys.executable, "-c", _LOADED.format(name)],
        cwd=REPOSITORY,
        capture_output=True,
        check=True,
        text=True,
    )
    return set(json.loads(found.stdout))


def test_the_loop_loads_what_the_sampler_loads_and_its_own_package() -> None:
    loop = _modules("frugalwatch.daemon.loop")
    sampler = _modules("frugalwatch.sampler.loop")
    ours = {"frugalwatch.daemon", "frugalwatch.ledger.minutes", "frugalwatch.ledger.retention"}
    ours |= {f"frugalwatch.ledger.{name}" for name in ("recover", "thin", "thin_told")}
    more = {m for m in loop - sampler if not m.startswith("frugalwatch.daemon.")} - ours
    # `re` and its parts, for names of control groups: click has loaded it in any real process.
    assert {
        m for m in more if m.partition(".")[0] not in ("re", "_sre", "copyreg", "enum")
    } == set()


def test_no_module_of_the_daemon_loads_anything_heavy() -> None:
    folder = Path(REPOSITORY) / "frugalwatch" / "daemon"
    for name in ("main", "loop", "server", "server_link", "publish"):
        assert (folder / f"{name}.py").exists()
        modules = _modules(f"frugalwatch.daemon.{name}")
        heavy = {m for m in modules if m in HEAVY or m.partition(".")[0] in HEAVY}
        assert heavy == set(), name
