"""Notices reach whom they are for, from a process that nobody waits for."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from frugalwatch.alerts import courier as couriers
from frugalwatch.alerts.courier import Courier, Routes
from frugalwatch.alerts.notice import SCHEMA, Notice
from frugalwatch.alerts.sinks import webhook
from frugalwatch.alerts.sinks.command import call
from frugalwatch.alerts.sinks.webhook import post
from frugalwatch.alerts.sinks.webhook_address import host_of, shown
from tests.frugalwatch.e2e.kit import until

NOTICE = Notice("alert", "p95>200ms", "p95 is 0.3 s", "20261122-run", 0.3, 0.2, "s")
NOWHERE = Routes(desktop=False, webhook=None, command=())
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


class Hooks:
    """The server, and what it was told."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self.address = f"http://127.0.0.1:{process.stdout.readline().strip()}"

    def told(self, path: str) -> list[dict[str, Any]]:
        with urllib.request.urlopen(f"{self.address}/log", timeout=10) as answer:
            return [each["body"] for each in json.load(answer) if each["path"] == path]


@pytest.fixture(scope="module")
def hooks() -> Iterator[Hooks]:
    program = Path(__file__).with_name("hook_server.py")
    process = subprocess.Popen(
        [sys.executable, str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        yield Hooks(process)
        process.kill()


def test_a_webhook_is_told_in_json_and_again_after_a_failure(
    hooks: Hooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "PAUSES_S", (0.05, 0.05))
    courier = Courier(NOWHERE._replace(webhook=f"{hooks.address}/second-time"))
    courier.send(NOTICE)
    courier.close()
    with until(30, "two tries") as again:
        while again():
            if len(told := hooks.told("/second-time")) == 2:
                break
    assert told[0] == told[1], "the same notice under the same id"
    assert told[0]["schema"] == SCHEMA
    assert (told[0]["kind"], told[0]["value"], told[0]["limit"]) == ("alert", 0.3, 0.2)


def test_a_webhook_that_never_takes_it_is_given_up_and_that_is_told(
    hooks: Hooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "PAUSES_S", (0.05, 0.05))
    courier = Courier(NOWHERE._replace(webhook=f"{hooks.address}/broken?key=hush"))
    courier.send(NOTICE)
    problems: list[str] = []
    with until(30, "it to give up") as again:
        while again() and not problems:
            problems += courier.problems()
    courier.close()
    assert problems == ["webhook: 127.0.0.1 answered 500; given up after 3 tries"]


@pytest.mark.parametrize(
    ("path", "why", "again"),
    [("/gone", "404", False), ("/busy", "429", True), ("/redirect", "302", False)],
)
def test_what_another_try_cannot_mend_is_not_tried_again(
    hooks: Hooks, path: str, why: str, again: bool
) -> None:
    failure = post(f"{hooks.address}{path}", NOTICE.as_json(1, "here"))
    assert failure is not None
    assert (why in failure.why, failure.again) == (True, again)
    assert hooks.told("/ok") == [], "redirects are not followed"


def test_an_address_that_nobody_answers_can_be_tried_again() -> None:
    failure = post("http://127.0.0.1:9/x", NOTICE.as_json(1, "here"), timeout_s=2.0)
    assert failure is not None
    assert failure.again


def test_a_flood_for_a_webhook_that_hangs_waits_for_nobody(hooks: Hooks) -> None:
    courier = Courier(NOWHERE._replace(webhook=f"{hooks.address}/hang"))
    slowest_s = 0.0
    for _ in range(3000):
        begun = time.perf_counter()
        courier.send(NOTICE)
        slowest_s = max(slowest_s, time.perf_counter() - begun)
    courier.close()
    assert courier.dropped > 0, "what has no room is counted"
    assert slowest_s < 5.0


def test_nobody_to_tell_starts_no_process() -> None:
    courier = Courier(NOWHERE)
    courier.send(NOTICE)
    assert (courier._pid, courier.dropped) == (0, 0)


def test_a_courier_that_was_killed_is_replaced(tmp_path: Path) -> None:
    out = tmp_path / "told"
    script = f"import sys; open({str(out)!r}, 'a').write('x')"
    courier = Courier(NOWHERE._replace(command=(sys.executable, "-I", "-S", "-c", script)))
    courier.send(NOTICE)
    with until(30, "the first notice") as again:
        while again() and not out.exists():
            pass
    import os
    import signal

    os.kill(courier._pid, signal.SIGKILL)
    os.waitpid(courier._pid, 0)
    courier._pid = 0
    courier.send(NOTICE)
    courier.send(NOTICE)
    courier.close()
    assert courier.dropped == 1
    with until(30, "the notice after that") as again:
        while again() and len(out.read_text()) < 2:
            pass


def test_a_command_gets_its_words_json_and_variables_and_no_shell(tmp_path: Path) -> None:
    out = tmp_path / "told.json"
    script = (
        "import json, os, sys\n"
        "found = {k: v for k, v in os.environ.items() if k.startswith('FRUGALWATCH_EVENT_')}\n"
        "told = [sys.argv[2:], json.load(sys.stdin), found]\n"
        "json.dump(told, open(sys.argv[1], 'w'))"
    )
    argv = [sys.executable, "-c", script, str(out), "$HOME; echo *"]
    assert call(argv, NOTICE.as_json(3, "here")) == ""
    words, document, variables = json.loads(out.read_text())
    assert words == ["$HOME; echo *"]
    assert document == json.loads(json.dumps(document))
    assert document["id"] == "20261122-run-3"
    assert variables["FRUGALWATCH_EVENT_KIND"] == "alert"
    assert variables["FRUGALWATCH_EVENT_VALUE"] == "0.3"
    assert "command" not in document


def test_a_command_that_takes_too_long_is_ended_with_all_it_started() -> None:
    begun = time.monotonic()
    problem = call(["sh", "-c", "sleep 300 & sleep 300"], NOTICE.as_json(1, "h"), limit_s=0.3)
    assert problem == "command: sh was ended after 0.3 s"
    assert time.monotonic() - begun < 60


@pytest.mark.parametrize(
    ("argv", "why"),
    [(["/nonexistent/pager"], "No such file"), (["sh", "-c", "exit 3"], "ended with 3")],
)
def test_a_command_that_fails_is_told_of(argv: list[str], why: str) -> None:
    assert why in call(argv, NOTICE.as_json(1, "here"))


def test_a_desktop_is_told_by_notify_send(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from frugalwatch.alerts.sinks.desktop import show

    out = tmp_path / "told"
    stand_in = tmp_path / "notify-send"
    stand_in.write_text(f'#!/bin/sh\nprintf "%s|" "$@" > {out}\n')
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert show(NOTICE.as_json(1, "here")) == ""
    assert "p95 is 0.3 s|" in out.read_text()
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert "No such file" in show(NOTICE.as_json(1, "here"))


def test_an_addresss_secrets_are_not_shown() -> None:
    address = "https://me:pass@hooks.example.org/T0/B0/secret?token=x"
    assert host_of(address) == "hooks.example.org"
    assert shown(address) == "https://hooks.example.org/***"
    assert host_of("file:///etc/passwd") == ""


def test_what_is_sent_holds_nothing_of_the_command() -> None:
    document = NOTICE.as_json(1, "here", 0.0)
    assert set(document) == {
        *("schema", "id", "kind", "subject", "message", "run_id", "host", "utc"),
        *("value", "limit", "unit"),
    }
    assert document["utc"] == "1970-01-01T00:00:00Z"
    assert couriers.LINGER_S == 60.0
