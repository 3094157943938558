"""Live grid values from a local server that answers as the services do, well and badly."""

import json
import os
import socket
import stat
import subprocess
import sys
import time
import urllib.request
from dataclasses import asdict, replace

import pytest

from frugalwatch.carbon import live_cache
from frugalwatch.carbon.grid import resolve
from frugalwatch.carbon.live import LiveGrid, fetch, zone_to_ask
from frugalwatch.carbon.live_fetch import read_electricity_maps, read_uk
from frugalwatch.carbon.live_value import (
    LiveFailure,
    LiveValue,
    from_record,
    live_factor,
    without_live,
)
from frugalwatch.config.settings import Settings

TOKEN = "s3cret-token"


@pytest.fixture(scope="module")
def server():
    """The address of the stand-in, which runs in a process of its own."""
    script = os.path.join(os.path.dirname(__file__), "grid_server.py")
    process = subprocess.Popen(
        [sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    process.stdin.close()
    process.stdout.close()
    process.wait(10)


@pytest.fixture
def environ(tmp_path, monkeypatch):
    for name in (
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
    ):
        monkeypatch.delenv(name, raising=False)
    return {"XDG_CACHE_HOME": str(tmp_path / "cache"), "ELECTRICITYMAPS_TOKEN": TOKEN}


def maps(url, zone="FR"):
    return Settings(live_grid="electricity-maps", live_grid_url=url, zone=zone)


def britain(url):
    return Settings(live_grid="uk-carbon-intensity", live_grid_url=url)


def log(server):
    with urllib.request.urlopen(server + "/log", timeout=5) as answer:
        return json.load(answer)


def test_electricity_maps_gives_a_lifecycle_value_for_the_hour(server, environ):
    before_ns = time.time_ns()
    value = fetch(maps(server + "/em"), environ)
    assert isinstance(value, LiveValue)
    assert (value.zone, value.g_per_kwh, value.kind) == ("FR", 83.0, "average-lifecycle")
    assert value.estimated is True
    assert value.valid_utc_ns % (3600 * 10**9) == 0
    assert 0 <= before_ns - value.valid_utc_ns < 3601 * 10**9
    assert before_ns + 899 * 10**9 < value.until_utc_ns <= before_ns + 3605 * 10**9
    asked = [entry for entry in log(server) if entry["path"].startswith("/em/")][-1]
    assert asked == {"path": "/em/v3/carbon-intensity/latest?zone=FR", "token": TOKEN}


def test_a_direct_factor_is_called_direct(server, environ):
    value = fetch(maps(server + "/em-direct"), environ)
    assert (value.kind, value.estimated) == ("average-direct", False)


def test_the_uk_service_gives_the_actual_value_of_the_half_hour(server, environ):
    value = fetch(britain(server + "/uk/"), environ)
    assert (value.zone, value.g_per_kwh, value.kind) == ("GB", 263.0, "average-direct")
    assert value.estimated is False
    assert value.row()["source"] == "UK Carbon Intensity"


def test_a_forecast_of_the_uk_service_is_marked_as_estimate(server, environ):
    value = fetch(britain(server + "/uk-forecast"), environ)
    assert (value.g_per_kwh, value.estimated) == (266.0, True)


@pytest.mark.parametrize(
    ("scenario", "words", "final"),
    [
        ("401", "refused access (401)", True),
        ("403", "refused access (403)", True),
        ("404", "does not know this zone", True),
        ("429", "asked too often", False),
        ("500", "answered 500", False),
        ("redirect", "sent us elsewhere (302)", True),
        ("html", "makes no sense", False),
        ("binary", "broke off", False),
        ("huge", "more than 65536 bytes", False),
        ("cut", "makes no sense", False),
        ("list", "no JSON object", False),
        ("em-other-zone", "answered for DE, not FR", True),
        ("em-stale", "more than a day old", False),
        ("em-text", "makes no sense", False),
        ("em-negative", "-3 g/kWh cannot be", False),
        ("em-null", "makes no sense", False),
        ("em-unknown-type", "makes no sense", False),
        ("em-no-time", "lacks 'datetime'", False),
        ("uk-empty", "makes no sense", False),
    ],
)
def test_a_bad_answer_is_a_failure_that_says_what_happened(server, environ, scenario, words, final):
    failure = fetch(maps(f"{server}/{scenario}"), environ)
    assert isinstance(failure, LiveFailure)
    assert words in failure.reason
    assert failure.final is final
    assert TOKEN not in failure.reason + failure.hint


def test_a_redirect_never_carries_the_token_on(server, environ):
    fetch(maps(server + "/redirect"), environ)
    assert not [entry for entry in log(server) if "stolen" in entry["path"]]


def test_retry_after_is_passed_on(server, environ):
    assert fetch(maps(server + "/429"), environ).retry_after_s == 120.0


@pytest.mark.parametrize("scenario", ["silent", "drip", "drip_headers"])
def test_a_slow_server_costs_three_seconds_at_most(server, environ, scenario):
    begin_s = time.monotonic()
    failure = fetch(maps(f"{server}/{scenario}"), environ)
    assert time.monotonic() - begin_s < 3.5
    assert isinstance(failure, LiveFailure)
    assert not failure.final


def test_nobody_listening_is_a_failure_and_not_final(environ):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    failure = fetch(maps(f"http://127.0.0.1:{port}"), environ)
    assert "cannot be reached" in failure.reason
    assert not failure.final


def test_a_token_is_not_sent_in_the_clear_to_another_machine(environ):
    failure = fetch(maps("http://192.0.2.1"), environ)
    assert failure.final
    assert "plain HTTP" in failure.reason


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/x", "https://", "nonsense"])
def test_only_http_addresses_are_opened(environ, url):
    failure = fetch(maps(url), environ)
    assert failure.reason == "live_grid_url is no http address"
    assert failure.final


@pytest.mark.parametrize("token", ["", "a\nb", "schlüssel"])
def test_a_missing_or_unusable_token_is_said_without_asking(environ, token):
    failure = fetch(maps("http://127.0.0.1:9"), {**environ, "ELECTRICITYMAPS_TOKEN": token})
    assert failure.final
    assert "ELECTRICITYMAPS_TOKEN" in failure.reason


def test_a_value_is_kept_for_its_time_in_a_file_of_the_user_only(server, environ, tmp_path):
    settings = maps(server + "/em", zone="SE")
    first = fetch(settings, environ)
    asked = len(log(server))
    assert fetch(settings, environ) == first
    assert len(log(server)) == asked
    folder = tmp_path / "cache" / "frugalwatch"
    (file,) = folder.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert TOKEN not in file.read_text()
    # Another zone is another question.
    assert fetch(settings._replace(zone="NO"), environ).zone == "NO"


@pytest.mark.parametrize("broken", ["", "[]", "{}", '{"zone": 1}', "[" * 50000, "\0"])
def test_a_broken_cache_file_is_as_good_as_none(server, environ, broken):
    settings = maps(server + "/em")
    path = live_cache.cache_path(settings, "FR", environ)
    os.makedirs(os.path.dirname(path))
    with open(path, "w", encoding="utf-8") as file:
        file.write(broken)
    assert isinstance(fetch(settings, environ), LiveValue)


def test_a_cache_that_cannot_be_written_costs_nothing_but_the_cache(server, environ):
    value = fetch(maps(server + "/em"), {**environ, "XDG_CACHE_HOME": "/proc/nowhere"})
    assert isinstance(value, LiveValue)


VALUE = LiveValue(
    zone="FR",
    g_per_kwh=83.0,
    kind="average-lifecycle",
    source="Electricity Maps",
    attribution="Electricity Maps",
    estimated=False,
    valid_utc_ns=1_000,
    until_utc_ns=9_000,
    fetched_utc_ns=2_000,
)


def test_a_kept_value_holds_only_inside_its_time(tmp_path):
    path = str(tmp_path / "c" / "v.json")
    live_cache.keep(path, VALUE)
    assert live_cache.recall(path, 2_000) == VALUE
    assert live_cache.recall(path, 8_999) == VALUE
    assert live_cache.recall(path, 9_000) is None
    assert live_cache.recall(path, 1_999) is None, "the clock was set back"


def test_values_and_failures_survive_the_way_through_json():
    for thing in (VALUE, LiveFailure("x", "y", True, 3.0), LiveFailure("x")):
        assert from_record(json.loads(json.dumps(asdict(thing)))) == thing
    with pytest.raises(ValueError, match="no such kind"):
        from_record({**asdict(VALUE), "kind": "measured"})


def test_polling_never_waits_and_the_answer_comes_once(server, environ):
    grid = LiveGrid(maps(server + "/silent"), environ)
    assert grid.due()
    assert (grid.fileno(), grid.poll()) == (-1, None)
    grid.start()
    begin_s = time.monotonic()
    for _ in range(200):
        assert grid.poll() is None
    assert time.monotonic() - begin_s < 0.5
    assert not grid.due()
    begin_s = time.monotonic()
    grid.close()
    grid.close()
    assert time.monotonic() - begin_s < 0.5
    assert not grid.due()


def test_after_a_value_it_is_not_due_until_the_value_ends(server, environ):
    grid = LiveGrid(maps(server + "/em"), environ)
    grid.start()
    value = grid.wait(5.0)
    assert isinstance(value, LiveValue)
    assert grid.latest == value
    assert grid.fileno() == -1
    assert grid.poll() is None
    assert not grid.due()
    grid.close()


@pytest.mark.parametrize(("scenario", "later"), [("401", False), ("500", True), ("429", True)])
def test_after_a_final_failure_nobody_asks_again(server, environ, scenario, later, monkeypatch):
    grid = LiveGrid(maps(f"{server}/{scenario}"), environ)
    grid.start()
    assert isinstance(grid.wait(5.0), LiveFailure)
    assert not grid.due()
    now_s = time.monotonic()
    wait_s = 121 if scenario == "429" else 61
    monkeypatch.setattr(time, "monotonic", lambda: now_s + wait_s)
    assert grid.due() is later
    grid.close()


def test_the_asking_process_holds_none_of_our_pipes(server, environ):
    """Else whoever waits for the end of such a pipe waits for the network."""
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    grid = LiveGrid(maps(server + "/silent"), environ)
    grid.start()
    time.sleep(0.3)
    os.close(writing)
    os.set_blocking(reading, False)
    try:
        assert os.read(reading, 1) == b""  # BlockingIOError if the child still held it
    finally:
        os.close(reading)
        grid.close()


def test_the_asking_process_ends_even_if_its_parent_is_gone(server, environ):
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        grid = LiveGrid(maps(server + "/drip_headers"), environ)
        grid.start()
        os.write(writing, str(grid._unreaped[0]).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as file:
        orphan = int(file.read())
    os.waitpid(pid, 0)
    until_s = time.monotonic() + 5
    while time.monotonic() < until_s and _alive(orphan):
        time.sleep(0.1)
    assert not _alive(orphan)


def _alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_no_child_is_left_behind(server, environ):
    grid = LiveGrid(maps(server + "/em"), environ)
    grid.start()
    (child,) = grid._unreaped
    grid.wait(5.0)
    until_s = time.monotonic() + 2
    while grid._unreaped and time.monotonic() < until_s:
        grid._reap()
        time.sleep(0.01)
    assert not os.path.exists(f"/proc/{child}")
    grid.close()


def test_importing_the_live_source_loads_no_network_library():
    code = (
        "import sys, frugalwatch.carbon.live\n"
        "print(sorted({'urllib.request', 'ssl', 'http.client', 'email'} & set(sys.modules)))"
    )
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(__file__))))
    answer = subprocess.run(
        [sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True, cwd=root
    )
    assert answer.stdout.strip() == "[]"


def test_no_place_no_question():
    failure = zone_to_ask(Settings(live_grid="electricity-maps"))
    assert isinstance(failure, LiveFailure)
    assert failure.final


def test_a_zone_outside_britain_gets_no_british_value():
    elsewhere = Settings(live_grid="uk-carbon-intensity", zone="FR")
    assert zone_to_ask(elsewhere).reason == "UK Carbon Intensity covers GB, not FR"
    assert zone_to_ask(elsewhere._replace(zone=None, cloud_region="aws:eu-west-3")).final
    assert zone_to_ask(elsewhere._replace(zone="uk")) == "GB"
    assert zone_to_ask(elsewhere._replace(zone=None, cloud_region="aws:eu-west-2")) == "GB"


def test_the_zone_of_a_question_is_the_tables_code_or_the_services_own():
    ask = Settings(live_grid="electricity-maps")
    assert zone_to_ask(ask._replace(zone="fra")) == "FR"
    assert zone_to_ask(ask._replace(zone="SE-SE3")) == "SE-SE3"
    assert zone_to_ask(ask._replace(cloud_region="aws:eu-west-3")) == "FR"


def test_the_factor_of_a_run_weighs_values_by_what_fell_into_them():
    table = resolve(Settings(zone="FR"))
    later = replace(VALUE, g_per_kwh=43.0, estimated=True)
    factor = live_factor([(VALUE, 3.0), (later, 1.0)], table)
    assert factor.g_per_kwh == pytest.approx(73.0)
    assert (factor.low_g_per_kwh, factor.high_g_per_kwh) == (43.0, 83.0)
    assert factor.live
    assert factor.zone_name == "France"
    assert "2 values" in factor.note
    assert "its own estimate" in factor.note


def test_time_without_a_live_value_takes_the_yearly_figure_and_says_so():
    table = resolve(Settings(zone="FR"))
    factor = live_factor([(VALUE, 1.0)], table, uncovered=1.0)
    assert factor.g_per_kwh == pytest.approx((83.0 + table.g_per_kwh) / 2)
    assert factor.low_g_per_kwh == table.g_per_kwh
    assert "50 % of the run had no live value" in factor.note


def test_direct_values_are_never_mixed_with_the_lifecycle_table():
    table = resolve(Settings(live_grid="uk-carbon-intensity"))
    assert table.zone == "GB"
    direct = replace(VALUE, zone="GB", kind="average-direct")
    factor = live_factor([(direct, 1.0)], table, uncovered=1.0)
    assert factor.g_per_kwh == 83.0
    assert factor.kind == "average-direct"
    assert "not comparable with lifecycle" in factor.note


def test_without_any_value_the_table_stands_and_the_note_says_why():
    table = resolve(Settings(zone="FR"))
    assert live_factor([], table) == table
    fallback = without_live(table, LiveFailure("host cannot be reached"))
    assert fallback.g_per_kwh == table.g_per_kwh
    assert not fallback.live
    assert fallback.note.startswith("no live value (host cannot be reached): yearly table used")


def test_a_run_too_short_for_energy_takes_the_plain_mean():
    table = resolve(Settings(zone="FR"))
    later = replace(VALUE, g_per_kwh=43.0)
    assert live_factor([(VALUE, 0.0), (later, 0.0)], table).g_per_kwh == 63.0


def test_published_examples_of_both_services_are_read():
    """Example answers as the services document them, read at the time that they are about."""
    body = json.dumps(
        {
            "zone": "DK-DK2",
            "carbonIntensity": 75,
            "datetime": "2026-08-22T17:00:00.000Z",
            "updatedAt": "2026-08-22T16:51:02.892Z",
            "createdAt": "2026-08-19T17:54:01.319Z",
            "emissionFactorType": "lifecycle",
            "flowTraced": True,
            "isEstimated": True,
            "estimationMethod": "FORECASTS_HIERARCHY",
            "temporalGranularity": "hourly",
        }
    ).encode()
    now_ns = 1_787_418_600 * 10**9  # 2026-08-22 17:10 UTC
    value = read_electricity_maps(body, "DK-DK2", now_ns)
    assert value.valid_utc_ns == 1_787_418_000 * 10**9
    assert value.until_utc_ns == value.valid_utc_ns + 3600 * 10**9
    half_hour = b"""{"data": [{"from": "2018-01-20T12:00Z", "to": "2018-01-20T12:30Z",
        "intensity": {"forecast": 266, "actual": 263, "index": "moderate"}}]}"""
    now_ns = 1_516_450_200 * 10**9  # 2018-01-20 12:10 UTC
    value = read_uk(half_hour, now_ns)
    assert value.valid_utc_ns == 1_516_449_600 * 10**9
    assert value.until_utc_ns == value.valid_utc_ns + 1800 * 10**9
