"""What a user can set, as one frozen record with every default in sight."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

SummaryStyle: TypeAlias = Literal["auto", "block", "line", "none"]


class Settings(NamedTuple):
    """Every setting with its default. Units are in the names.

    Precedence: command line, then FRUGALWATCH_* variables, then `./frugalwatch.toml`, then
    `[tool.frugalwatch]` in `./pyproject.toml`, then `$XDG_CONFIG_HOME/frugalwatch/config.toml`,
    then these defaults. What each key accepts stands in `frugalwatch.config.fields`.
    """

    interval_s: float = 1.0
    summary: SummaryStyle = "auto"
    hook: bool = True
    cgroup: Literal["auto", "off"] = "off"
    ledger: str | None = None  # path of the database; None: the XDG state folder
    sources_off: tuple[str, ...] = ()  # collectors that must not be used
    cpu_model: Literal["table", "codecarbon"] = "table"
    zone: str | None = None  # FR, US-CA, WORLD
    cloud_region: str | None = None  # aws:eu-west-3
    pue: float = 1.0
    price_per_kwh: float | None = None
    currency: str = "EUR"
    live_grid: Literal["off", "electricity-maps", "uk-carbon-intensity"] = "off"
    live_grid_url: str | None = None  # another address for the same API
    live_grid_token_env: str = "ELECTRICITYMAPS_TOKEN"
    raw_sample_days: float = 7.0
    minute_days: float = 365.0  # of the daemon's ledger: what is older is thinned to days
    environment_allow: tuple[str, ...] = ()  # further variables whose values may be stored
    by_user: bool = False  # record who started a run, and show energy by user
    embodied: str | None = None  # rows of the embodied table to amortise, None: not counted
    embodied_share: float = 1.0  # part of that hardware that the job had to itself
    daemon_ledger: str | None = None  # the daemon's own database; None: see daemon.places
    daemon_socket: str | None = None  # where the daemon serves, and where runs look for it
    daemon_group: str = "frugalwatch"  # whose members the daemon serves
    remote_write_url: str | None = None  # where the ledger is sent; None: nowhere
    remote_query_url: str | None = None  # where it is asked; None: beside the address above
    remote_token_env: str | None = None  # variable with the bearer token
    remote_tenant: str | None = None  # of Mimir and the like
    remote_node: str | None = None  # this node's name there; None: the host's
    remote_interval_s: float = 15.0
    remote_runs: Literal["off", "shared", "all", "live"] = "shared"
    metrics: str | None = None  # address and port on which the daemon serves /metrics
    budget: tuple[str, ...] = ()  # what a run may use: 0.5kWh, 200gCO2e, 2EUR
    on_exceed: Literal["warn", "term"] = "warn"
    alerts: tuple[str, ...] = ()  # p95>200ms, Wh/request>0.002
    daemon_budgets: tuple[str, ...] = ()  # machine 5kWh/day, user alice 1kWh/day
    alert_desktop: bool = False
    alert_webhook: str | None = None
    alert_command: tuple[str, ...] = ()
    mask: tuple[str, ...] = ()  # patterns of what must not be stored of a command line
    profile_days: float = 7.0  # after which profiles are deleted
    search_storage: str | None = None  # database URL of the advisor's search of combinations
