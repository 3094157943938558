"""The run object against its own page, and its arithmetic."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.frugalwatch.ledger.kit import REPOSITORY
from tests.frugalwatch.report.stories import STORIES

PAGE = (REPOSITORY / "docs" / "reference" / "run-object.md").read_text()
_DOCUMENTED = re.compile(r"`([a-z][a-z0-9_]*)`")
_BOUNDED = (
    "energy",
    "estimated",
    "above_idle",
    "job_share",
    "estimated_above_idle",
    "estimated_job_share",
)
NUMBERS = {"number", "exit_code", "exit_signal", "depth", "count", "pid", "steps", "processes"}
NUMBERS |= {"samples", "ranks", "durations", "rank", "local_rank", "world_size"}
NUMBERS |= {"processes_count", "step", "batch"}  # the last two by the hook, under `counts`


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("ledgers")
    return {name: story(folder / f"{name}.db") for name, story in STORIES.items()}


def table(title: str) -> dict[str, str]:
    """The rows of one section's table: key -> type and nulls, as the page says."""
    section = re.split(r"\n##+ ", re.split(rf"\n##+ {title}\n", PAGE, maxsplit=1)[1], maxsplit=1)[0]
    rows = {}
    for line in section.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `"):
            for key in _DOCUMENTED.findall(cells[0]):
                rows[key] = cells[1]
    return rows


def checked(value: object, said: str) -> bool:
    """Whether a value is of the type that the page gives, `or null` included."""
    kinds = {
        "text": str,
        "integer": int,
        "number": (int, float),
        "true or false": bool,
        "object": dict,
        "list": list,
    }
    names = [name.strip() for name in said.split(", or")]
    if value is None:
        return "null" in said
    kind = next(kinds[name] for name in kinds if names[0].replace(" or null", "") == name)
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


SECTIONS = {
    "The run": lambda run: [run],
    "Carbon": lambda run: [run["carbon"]],
    "Cost": lambda run: [run["cost"]] if run["cost"] else [],
    "Embodied": lambda run: [run["embodied"]] if run["embodied"] else [],
    "Devices": lambda run: run["devices"],
    "The job's processes": lambda run: run["processes"],
    "GPUs of a process": lambda run: [gpu for p in run["processes"] for gpu in p["gpus"]],
    "Phases": lambda run: run["phases"],
    "Steps": lambda run: [run["steps"]] if run["steps"] else [],
    "Units": lambda run: run["units"],
    "Costs": lambda run: [
        cost for u in run["units"] for cost in (u["per_unit"], u["per_sample"]) if cost
    ],
    "Durations": lambda run: [u["durations"] for u in run["units"] if u["durations"]],
    "Activities": lambda run: [run["activities"]] if run["activities"] else [],
    "Parts": lambda run: run["activities"]["parts"] if run["activities"] else [],
    "Inside": lambda run: [run["inside"]] if run["inside"] else [],
    "Processes": lambda run: run["inside"]["processes"] if run["inside"] else [],
    "Problems": lambda run: run["inside"]["problems"] if run["inside"] else [],
    "Metrics": lambda run: run["metrics"],
    "Events": lambda run: run["events"],
    "Budgets": lambda run: run["budgets"],
    "Alerts": lambda run: run["alerts"],
    "Comparison": lambda run: [run["comparison"]] if run["comparison"] else [],
}


@pytest.mark.parametrize("title", SECTIONS)
def test_the_page_names_every_key_and_no_other(title: str, runs: dict[str, dict[str, Any]]) -> None:
    said = table(title)
    objects = [found for run in runs.values() for found in SECTIONS[title](run)]
    assert objects
    for found in objects:
        assert set(found) == set(said)
        for key, value in found.items():
            assert checked(value, said[key]), f"{key} is {value!r}, and the page says {said[key]}"


def test_every_null_that_the_page_allows_can_happen(runs: dict[str, dict[str, Any]]) -> None:
    """Of the run itself: a promise of null that never comes true would only be noise."""
    never = {
        key
        for key, said in table("The run").items()
        if "null" in said and all(run[key] is not None for run in runs.values())
    }
    assert never == {"exit_code", "cpu_method"}  # of runs that nobody saw the end of


def test_kinds_of_events_that_the_code_writes_are_on_the_page() -> None:
    written = set()
    for path in (REPOSITORY / "frugalwatch").rglob("*.py"):
        text = path.read_text()
        written |= set(re.findall(r"\.event\(\s*\"([a-z_]+)\"", text))
    assert written - {"gap_end"} <= set(_DOCUMENTED.findall(PAGE))
    assert len(written) > 8


def every_number(value: object, key: str = "") -> list[tuple[str, float]]:
    if isinstance(value, dict):
        return [pair for k, v in value.items() for pair in every_number(v, k)]
    if isinstance(value, list):
        return [pair for v in value for pair in every_number(v, key)]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return [(key, value)]
    return []


def test_numbers_have_their_unit_in_their_name(runs: dict[str, dict[str, Any]]) -> None:
    units = re.compile(
        r"(_s|_j|_w|_g|_kwh(_low|_high)?|per_s|_step_j)$|^(pue|year|value|coverage|share|busy_share)$"
    )
    free = {"amount", "low", "high", "ratio", "earlier_min", "earlier_max", "earlier_runs"}
    free |= {"these_count", "earlier_count"}
    # Of a budget, in the unit that stands beside them.
    free |= {"limit", "used", "used_low", "used_high", "crossings"}
    for run in runs.values():
        for key, _ in every_number(run):
            assert units.search(key) or key in NUMBERS | free, key


@pytest.mark.parametrize("name", STORIES)
def test_the_object_is_json_without_special_numbers(
    name: str, runs: dict[str, dict[str, Any]]
) -> None:
    text = json.dumps(runs[name], allow_nan=False)
    assert json.loads(text) == runs[name]


@pytest.mark.parametrize("name", STORIES)
def test_every_figure_lies_between_its_bounds(name: str, runs: dict[str, dict[str, Any]]) -> None:
    run = runs[name]
    triples = [(run[f"{b}_low_j"], run[f"{b}_j"], run[f"{b}_high_j"]) for b in _BOUNDED]
    triples.append((run["co2e_low_g"], run["co2e_g"], run["co2e_high_g"]))
    triples += [
        (each["low_j"], each["energy_j"], each["high_j"])
        for each in [*run["devices"], *run["phases"]]
    ]
    triples += [
        (device[f"{base}_low_j"], device[f"{base}_j"], device[f"{base}_high_j"])
        for device in run["devices"]
        for base in ("above_idle", "job_share")
    ]
    triples += [
        (phase["estimated_low_j"], phase["estimated_j"], phase["estimated_high_j"])
        for phase in run["phases"]
    ]
    for one in (run["cost"], run["embodied"]):
        if one is not None and "amount" in one:
            triples.append((one["low"], one["amount"], one["high"]))
        elif one is not None:
            triples.append((one["co2e_low_g"], one["co2e_g"], one["co2e_high_g"]))
    for low, value, high in triples:
        if value is None:
            assert (low, high) == (None, None)
        else:
            assert 0 <= low <= value <= high
    for share in (run["coverage"], run["busy_share"], *(d["coverage"] for d in run["devices"])):
        assert share is None or 0 <= share <= 1


@pytest.mark.parametrize("name", STORIES)
def test_totals_are_the_sums_of_the_counted_devices(
    name: str, runs: dict[str, dict[str, Any]]
) -> None:
    run = runs[name]
    for total, origins in (
        ("energy", {"measured", "derived"}),
        ("estimated", {"estimated", "attributed"}),
    ):
        counted = [d for d in run["devices"] if d["counted"] and d["origin"] in origins]
        for key, part in (("_j", "energy_j"), ("_low_j", "low_j"), ("_high_j", "high_j")):
            if counted:
                assert run[total + key] == pytest.approx(sum(d[part] for d in counted))
            else:
                assert run[total + key] is None
    for device in run["devices"]:
        assert not (device["counted"] and device["part_of"])


@pytest.mark.parametrize("name", STORIES)
def test_carbon_is_energy_times_the_facility_times_the_grid(
    name: str, runs: dict[str, dict[str, Any]]
) -> None:
    run = runs[name]
    joules = [run[key] for key in ("energy_j", "estimated_j") if run[key] is not None]
    if not joules:
        assert run["co2e_g"] is None
        assert run["co2e_origin"] is None
        return
    factor = run["carbon"]["pue"] * run["carbon"]["g_per_kwh"] / 3.6e6
    assert run["co2e_g"] == pytest.approx(sum(joules) * factor)
    parts = [run["co2e_measured_g"], run["co2e_estimated_g"]]
    assert run["co2e_g"] == pytest.approx(sum(p for p in parts if p is not None))
    if run["cost"]:
        kwh = sum(joules) / 3.6e6 * run["carbon"]["pue"]
        assert run["cost"]["amount"] == pytest.approx(kwh * run["cost"]["price_per_kwh"])


def test_a_run_without_sources_is_unknown_everywhere_and_nowhere_zero(
    runs: dict[str, dict[str, Any]],
) -> None:
    run = runs["nothing"]
    for key in (*(f"{b}_j" for b in _BOUNDED), "co2e_g", "cpu_s", "busy_share", "coverage"):
        assert run[key] is None, key
    assert run["devices"] == []


def test_the_headline_is_the_share_where_others_used_the_machine(
    runs: dict[str, dict[str, Any]],
) -> None:
    assert runs["noisy"]["headline"] == "job_share"
    assert runs["measured"]["headline"] == "device"


def test_an_unknown_run_is_a_lookup_error(tmp_path: Path) -> None:
    from frugalwatch.carbon.grid import resolve_or_world
    from frugalwatch.config.settings import Settings
    from frugalwatch.ledger.connection import memory_ledger
    from frugalwatch.report.run_object import build

    with pytest.raises(LookupError):
        build(memory_ledger(), "nobody", resolve_or_world(Settings())[0], Settings())
