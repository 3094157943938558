"""What each setting accepts: its kind, its range, and one line for people.

A table by hand in place of introspection: `typing.get_type_hints` plus the resolution of its
strings costs more than all of `load`, and it could not know ranges or words. A test compares this
table with `Settings`, another compares the documentation with this table.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, NamedTuple, TypeAlias

Kind: TypeAlias = Literal["text", "path", "number", "switch", "choice", "list"]
Value: TypeAlias = str | float | bool | tuple[str, ...]

ENVIRONMENT_PREFIX = "FRUGALWATCH_"

# Variables of ours that carry no setting.
NOT_SETTINGS = frozenset(
    {
        "FRUGALWATCH_RUN_ID",
        "FRUGALWATCH_RUN_KEY",
        "FRUGALWATCH_PIPE",
        "FRUGALWATCH_HOOK",
        "FRUGALWATCH_SYSFS",
        "FRUGALWATCH_PROCFS",
        "FRUGALWATCH_ADVICE",
    }
)


class Field(NamedTuple):
    """One setting: `low` and `high` are inclusive, `choices` are all there is."""

    kind: Kind
    what: str
    low: float = -math.inf
    high: float = math.inf
    choices: tuple[str, ...] = ()
    project_may_set: bool = True


_COLLECTORS = (
    *("rapl", "nvidia", "amd", "hwmon", "battery"),
    *("daemon", "cpu_model", "ram_model", "fake"),
)

FIELDS: Mapping[str, Field] = {
    "interval_s": Field("number", "Seconds between two looks at each sensor.", 0.01, 3600.0),
    "summary": Field(
        "choice",
        "Form of the summary at the end: a block on a terminal and a line elsewhere (auto), or one "
        "of these always.",
        choices=("auto", "block", "line", "none"),
    ),
    "hook": Field("switch", "Put our package on the job's PYTHONPATH, for steps and phases."),
    "cgroup": Field(
        "choice",
        "Count the job's CPU time in a control group of its own (auto: where one can be had).",
        choices=("auto", "off"),
    ),
    "ledger": Field("path", "Path of the database. Relative to the file that says so."),
    "sources_off": Field("list", "Power sources that must not be used.", choices=_COLLECTORS),
    "cpu_model": Field(
        "choice",
        "Which model stands in where the CPU has no counter.",
        choices=("table", "codecarbon"),
    ),
    "zone": Field("text", "Where the electricity comes from: FR, US-CA, WORLD."),
    "cloud_region": Field("text", "Cloud region in place of a zone: aws:eu-west-3."),
    "pue": Field(
        "number", "Facility energy over IT energy, multiplied into carbon and cost.", 1.0, 10.0
    ),
    "price_per_kwh": Field("number", "Price of a kilowatt-hour in `currency`.", 0.0, 1e6),
    "currency": Field("text", "Currency of the price, as it should be printed."),
    "live_grid": Field(
        "choice",
        "Ask a grid service while the job runs. Off: no network at all.",
        choices=("off", "electricity-maps", "uk-carbon-intensity"),
        project_may_set=False,
    ),
    "live_grid_url": Field(
        "text", "Another address that speaks the same API.", project_may_set=False
    ),
    "live_grid_token_env": Field(
        "text", "Name of the variable that holds the token.", project_may_set=False
    ),
    "raw_sample_days": Field(
        "number", "Days after which raw samples are thinned to minutes.", 0.0, 36500.0
    ),
    "minute_days": Field(
        "number", "Days after which the daemon's minutes are thinned to days.", 1.0, 36500.0
    ),
    "environment_allow": Field("list", "Further variables whose values may be stored."),
    "by_user": Field(
        "switch",
        "Record who started a run, and show energy by user. Off: the user's name is not stored.",
        project_may_set=False,
    ),
    "embodied": Field(
        "text", "Hardware whose making is counted too: server-rack, 8*gpu-h100-sxm-80gb."
    ),
    "embodied_share": Field(
        "number", "Part of that hardware that the job had to itself, 0 to 1.", 0.0, 1.0
    ),
    "daemon_ledger": Field("path", "Path of the daemon's own database.", project_may_set=False),
    "daemon_socket": Field(
        "path", "Socket on which the daemon serves, and where runs look.", project_may_set=False
    ),
    "daemon_group": Field(
        "text", "Group whose members the daemon's socket serves.", project_may_set=False
    ),
    "remote_write_url": Field(
        "text",
        "Prometheus remote-write address that the ledger is sent to. Not set: it is sent nowhere.",
        project_may_set=False,
    ),
    "remote_query_url": Field(
        "text",
        "Address of the same server's query interface, where remote_write_url does not tell it.",
        project_may_set=False,
    ),
    "remote_token_env": Field(
        "text", "Name of the variable that holds the bearer token.", project_may_set=False
    ),
    "remote_tenant": Field(
        "text", "Tenant, sent as X-Scope-OrgID (Mimir and the like).", project_may_set=False
    ),
    "remote_node": Field(
        "text", "Name of this node there. Not set: the host's name.", project_may_set=False
    ),
    "remote_interval_s": Field(
        "number", "Seconds between two values of a counter there.", 1.0, 3600.0, (), False
    ),
    "remote_runs": Field(
        "choice",
        "Whose totals are sent when a run is over: of none, of runs that nodes share, of all; or of"
        " all and every minute while they run.",
        choices=("off", "shared", "all", "live"),
        project_may_set=False,
    ),
    "metrics": Field(
        "text",
        "Address on which the daemon serves metrics: 127.0.0.1:9477. None by default.",
        project_may_set=False,
    ),
    "budget": Field("list", "What each run may use: 0.5kWh, 200gCO2e, 2EUR."),
    "on_exceed": Field(
        "choice",
        "What happens when a run exceeds its budget: it is said, or the job gets SIGTERM too.",
        choices=("warn", "term"),
        project_may_set=False,
    ),
    "alerts": Field("list", "Thresholds on what a job tells: p95>200ms, Wh/request>0.002."),
    "daemon_budgets": Field(
        "list",
        "What the machine, or a user, may use in a day: machine 5kWh/day, user alice 1kWh/day.",
        project_may_set=False,
    ),
    "alert_desktop": Field(
        "switch", "Show alerts and budgets on the desktop (notify-send).", project_may_set=False
    ),
    "alert_webhook": Field(
        "text", "Address that gets them as JSON (frugalwatch.alert/1).", project_may_set=False
    ),
    "alert_command": Field(
        "list", "Command that is run for each, word by word, no shell.", project_may_set=False
    ),
    "mask": Field(
        "list",
        "Patterns of what is stored as *** in command lines; of a pattern with groups, the groups.",
        project_may_set=False,
    ),
    "profile_days": Field("number", "Days after which profiles of runs are deleted.", 1.0, 36500.0),
    "search_storage": Field(
        "text",
        "Database URL for the search of `advise --family`, as Optuna takes it; else a file beside"
        " what was built.",
        project_may_set=False,
    ),
}


class BadValueError(ValueError):
    """A value that its setting does not accept, and what would be. `near` may be empty."""

    def __init__(self, message: str, near: str = "") -> None:
        super().__init__(message)
        self.near = near


def from_text(field: Field, text: str) -> Value:
    """The value that a variable or an option names as text. Raises BadValueError.

    Switches take true/false, yes/no, on/off, 1/0; lists are separated by commas.
    """
    if field.kind == "number":
        try:
            return check(field, float(text))
        except ValueError as error:
            if isinstance(error, BadValueError):
                raise
            raise BadValueError(f"{text!r} is no number") from None
    if field.kind == "switch":
        word = text.strip().lower()
        if word in ("1", "true", "yes", "on"):
            return True
        if word in ("0", "false", "no", "off"):
            return False
        raise BadValueError(f"{text!r} is neither true nor false")
    if field.kind == "list":
        return check(field, [part.strip() for part in text.split(",") if part.strip()])
    return check(field, text.strip())


def check(field: Field, value: object) -> Value:
    """The value in the form in which `Settings` holds it. Raises BadValueError with a sentence."""
    if field.kind == "number":
        return _number(field, value)
    if field.kind == "switch":
        if isinstance(value, bool):
            return value
        raise BadValueError(f"must be true or false, not {_shown(value)}")
    if field.kind == "list":
        return _list(field, value)
    if not isinstance(value, str):
        raise BadValueError(f"must be text in quotes, not {_shown(value)}")
    if not value or "\0" in value:
        raise BadValueError("must not be empty" if not value else "must not hold a NUL character")
    if field.choices:
        _one_of(field.choices, value)
    return value


def nearest(word: str, known: tuple[str, ...]) -> str:
    """The known word that looks most like this one, or an empty text."""
    from difflib import get_close_matches  # several ms, and only on the way to an error

    by_folded = {name.lower().replace("-", "_"): name for name in known}
    found = get_close_matches(word.lower().replace("-", "_"), by_folded, n=1, cutoff=0.6)
    return by_folded[found[0]] if found else ""


def _number(field: Field, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadValueError(f"must be a number, not {_shown(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise BadValueError(f"must be a finite number, not {number}")
    if not field.low <= number <= field.high:
        raise BadValueError(f"must lie between {field.low:g} and {field.high:g}, not {number:g}")
    return number


def _list(field: Field, value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise BadValueError(f"must be a list of texts, not {_shown(value)}")
    items: list[str] = []
    for item in value:
        if not isinstance(item, str) or not item:
            raise BadValueError(f"must be a list of texts, but holds {_shown(item)}")
        if field.choices:
            _one_of(field.choices, item)
        items.append(item)
    return tuple(items)


def _one_of(choices: tuple[str, ...], value: str) -> None:
    if value not in choices:
        raise BadValueError(
            f"must be one of {', '.join(choices)}, not {_shown(value)}", nearest(value, choices)
        )


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
