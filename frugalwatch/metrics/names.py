"""Names of metrics and labels, the same wherever they are scraped, pushed or asked for.

Base units, plural, `_total` for what only grows, as Prometheus' naming practice asks. A device's
labels are DEVICE_LABELS; the host is `instance`, which a scraper adds by itself. Devices that lie
inside another one (a package's cores) are told nowhere, so that figures may be added up over
`device` within one `domain` and one `origin`; domain `system` encloses the others.
"""

from __future__ import annotations

JOB = "frugalwatch"

# Of a device, for good: no run id, so that their number does not grow with the runs.
ENERGY = "frugalwatch_energy_joules_total"
DEVICE_LABELS = ("device", "domain", "boundary", "origin")
ENERGY_LOW = "frugalwatch_energy_low_joules_total"
ENERGY_HIGH = "frugalwatch_energy_high_joules_total"
CO2E = "frugalwatch_co2e_grams_total"  # with CARBON_LABELS beside the device's
CARBON_LABELS = ("zone", "kind")
LAST_SAMPLE = "frugalwatch_last_sample_timestamp_seconds"
RECORDED = "frugalwatch_recorded_seconds_total"
GAPS = "frugalwatch_gap_seconds_total"
COUNTED = "frugalwatch_device_counted"  # 1: what may be added up to the machine's total
DEVICE_INFO = "frugalwatch_device_info"

# Of the recording as a whole.
EVENTS = "frugalwatch_events_total"
HEARTBEAT = "frugalwatch_heartbeat_timestamp_seconds"
INTERVAL = "frugalwatch_interval_seconds"
CARBON_INTENSITY = "frugalwatch_carbon_intensity_grams_per_joule"
BUILD_INFO = "frugalwatch_build_info"
LEDGER_READABLE = "frugalwatch_ledger_readable"

# Of a run on one node. `run_id` is what the nodes of a job share, else the run's own key.
RUN_ENERGY = "frugalwatch_run_energy_joules_total"
RUN_ENERGY_LOW = "frugalwatch_run_energy_low_joules_total"
RUN_ENERGY_HIGH = "frugalwatch_run_energy_high_joules_total"
RUN_CO2E = "frugalwatch_run_co2e_grams_total"
RUN_COVERAGE = "frugalwatch_run_coverage_ratio"
RUN_STARTED = "frugalwatch_run_started_timestamp_seconds"
RUN_ENDED = "frugalwatch_run_ended_timestamp_seconds"
RUN_RECORDINGS = "frugalwatch_run_recordings"
RUN_INFO = "frugalwatch_run_info"
