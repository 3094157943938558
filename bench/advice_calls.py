"""Calls of our own program by a bench: where everything is, and one advice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any  # what JSON gives back

from advice_workloads import Workload


@dataclass(frozen=True, slots=True)
class Setting:
    """Where everything is: our program, the jobs' Python, what is prepared, what is found."""

    frugalwatch: str
    python: str
    cache: str
    out: str
    budget: str
    options: tuple[str, ...]

    def call(self, words: Sequence[str], log: str) -> tuple[str, float]:
        """Run our command; its output and its wall seconds. Its talk goes into a file."""
        state = os.path.join(self.out, "state")
        began_s = time.monotonic()
        with open(os.path.join(self.out, log), "w", encoding="utf-8") as talk:
            process = subprocess.Popen(
                [self.frugalwatch, *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=talk,
                text=True,
                cwd=self.out,
                env={**os.environ, "XDG_STATE_HOME": state},
                start_new_session=True,  # Ctrl-C is for us: it ends its replay and reports
            )
            try:
                output, _ = process.communicate()
            except KeyboardInterrupt:
                process.send_signal(signal.SIGINT)
                process.communicate()
                raise
        taken_s = time.monotonic() - began_s
        if not output.strip():
            with open(os.path.join(self.out, log), encoding="utf-8") as talk:
                last = talk.read().strip().splitlines()[-3:]
            raise RuntimeError(f"status {process.returncode}: {' '.join(last)}")
        return output, taken_s


def advised(setting: Setting, workload: Workload, name: str) -> tuple[dict[str, Any], float]:
    """The advice on one workload, kept as NAME.json, and how long it took."""
    words = ["advise", "--json", "--budget", setting.budget, *setting.options, *workload.options]
    command = workload.command(setting.python, setting.cache)
    text, taken_s = setting.call([*words, "--", *command], f"{name}.log")
    with open(os.path.join(setting.out, f"{name}.json"), "w", encoding="utf-8") as file:
        file.write(text)
    return json.loads(text), taken_s
