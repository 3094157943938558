"""The SQL of the sampler. Constant texts, so that sqlite3 prepares each of them once."""

from __future__ import annotations

MACHINE = """
INSERT INTO machine (machine_key, hostname, cpu_model, cpu_threads, memory_bytes)
VALUES (:machine_key, :hostname, :cpu_model, :cpu_threads, :memory_bytes)
ON CONFLICT (machine_key) DO UPDATE SET
    hostname = excluded.hostname,
    cpu_model = coalesce(excluded.cpu_model, cpu_model),
    cpu_threads = coalesce(excluded.cpu_threads, cpu_threads),
    memory_bytes = coalesce(excluded.memory_bytes, memory_bytes)
"""

BOOT = """
INSERT INTO boot (machine_id, boot_key, kernel)
SELECT id, :boot_key, :kernel FROM machine WHERE machine_key = :machine_key
ON CONFLICT (boot_key) DO NOTHING
"""

# A sampler that replaces a dead one finds the row of its run and goes on with it.
RUN_START = """
INSERT INTO run (
    run_key, group_key, parent_run_key, boot_id, state, command, command_hash, cwd, git_commit,
    environment, interval_ns, started_utc_ns, started_mono_ns, heartbeat_mono_ns, pid_namespace,
    supervisor_pid, supervisor_starttime, sampler_pid, sampler_starttime, job_pid, job_starttime,
    cpu_limit, pue, price_per_kwh, currency, carbon
)
SELECT
    :run_key, :group_key, :parent_run_key, id, 'running', :command, :command_hash, :cwd,
    :git_commit, :environment, :interval_ns, :started_utc_ns, :started_mono_ns,
    :heartbeat_mono_ns, :pid_namespace, :supervisor_pid, :supervisor_starttime, :sampler_pid,
    :sampler_starttime, :job_pid, :job_starttime, :cpu_limit, :pue, :price_per_kwh, :currency,
    :carbon
FROM boot WHERE boot_key = :boot_key
ON CONFLICT (run_key) DO UPDATE SET
    state = 'running',
    ended_mono_ns = NULL,
    sampler_pid = excluded.sampler_pid,
    sampler_starttime = excluded.sampler_starttime
"""

RUN_ID = "SELECT id FROM run WHERE run_key = ?"

RUN_HEARTBEAT = "SELECT heartbeat_mono_ns FROM run WHERE run_key = ?"

DEVICE = """
INSERT INTO device (
    machine_id, key, domain, name, boundary, source, part_of, encloses, power_limit_w
)
SELECT boot.machine_id, :key, :domain, :name, :boundary, :source, :part_of, :encloses,
       :power_limit_w
FROM run JOIN boot ON boot.id = run.boot_id WHERE run.id = :run_id
ON CONFLICT (machine_id, key, source) DO UPDATE SET
    domain = excluded.domain, name = excluded.name, boundary = excluded.boundary,
    part_of = excluded.part_of, encloses = excluded.encloses,
    power_limit_w = coalesce(excluded.power_limit_w, power_limit_w)
"""

STREAM = """
INSERT INTO stream (
    run_id, boot_id, device_id, origin, tick_ns, gain_low, gain_high,
    idle_w, idle_low_w, idle_high_w, idle_origin, opened_mono_ns, note
)
SELECT run.id, run.boot_id, device.id, :origin, :tick_ns, :gain_low, :gain_high,
       :idle_w, :idle_low_w, :idle_high_w, :idle_origin, :opened_mono_ns, :note
FROM run JOIN boot ON boot.id = run.boot_id
JOIN device ON device.machine_id = boot.machine_id
WHERE run.id = :run_id AND device.key = :key AND device.source = :source
"""

# A sampler that replaces a dead one goes on in the dead one's streams.
STREAM_OF_RUN = """
SELECT stream.id FROM stream JOIN device ON device.id = stream.device_id
WHERE stream.run_id = :run_id AND device.key = :key AND device.source = :source
  AND stream.origin = :origin
"""

ANY_TO_THIN = """
SELECT id FROM run WHERE thinned = 0 AND state <> 'running' AND coverage IS NOT NULL
AND started_utc_ns < ? LIMIT 1
"""

CALIBRATED_MACHINE = """
SELECT machine.id FROM machine JOIN calibration ON calibration.machine_id = machine.id
WHERE machine_key = ? LIMIT 1
"""

LAST_READINGS = """
SELECT device.key, s.t_mono_ns, s.energy_uj, s.low_uj, s.high_uj
FROM stream JOIN run ON run.id = stream.run_id JOIN device ON device.id = stream.device_id
JOIN sample s ON s.stream_id = stream.id AND s.t_mono_ns =
     (SELECT max(t_mono_ns) FROM sample WHERE stream_id = stream.id)
WHERE run.run_key = ?
"""

LAST_GPU_USE = """
SELECT device.key, g.job_busy_us, g.all_busy_us
FROM stream JOIN run ON run.id = stream.run_id JOIN device ON device.id = stream.device_id
JOIN gpu_usage g ON g.stream_id = stream.id AND g.t_mono_ns =
     (SELECT max(t_mono_ns) FROM gpu_usage WHERE stream_id = stream.id)
WHERE run.run_key = ?
"""

# A row that is there already was written before a failure that looked like none of it was.
SAMPLE = """
INSERT INTO sample (stream_id, t_mono_ns, energy_uj, low_uj, high_uj, power_mw)
VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (stream_id, t_mono_ns) DO NOTHING
"""

USAGE = """
INSERT INTO usage (run_id, t_mono_ns, job_cpu_us, machine_busy_us)
VALUES (?, ?, ?, ?) ON CONFLICT (run_id, t_mono_ns) DO NOTHING
"""

GPU_USAGE = """
INSERT INTO gpu_usage (stream_id, t_mono_ns, job_busy_us, all_busy_us)
VALUES (?, ?, ?, ?) ON CONFLICT (stream_id, t_mono_ns) DO NOTHING
"""

CONDITION = """
INSERT INTO condition (stream_id, t_mono_ns, temperature_mdegc, clock_hz, fan_ppm, busy_ppm)
VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (stream_id, t_mono_ns) DO NOTHING
"""

EVENT = """
INSERT INTO event (
    run_id, stream_id, kind, cause, since_mono_ns, t_mono_ns, energy_missing, detail
) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""

METRIC = "INSERT INTO metric (run_id, pid, t_mono_ns, name, value) VALUES (?, ?, ?, ?, ?)"

STEP = """
INSERT INTO step (run_id, pid, t_mono_ns, steps)
VALUES (?, ?, ?, ?) ON CONFLICT (run_id, pid, t_mono_ns) DO NOTHING
"""

GOAL = """
INSERT INTO goal (run_id, pid, name, total, t_mono_ns) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (run_id, pid, name) DO UPDATE SET
    total = excluded.total, t_mono_ns = excluded.t_mono_ns
"""

INTENSITY = """
INSERT INTO carbon_intensity (
    zone, valid_utc_ns, g_per_kwh, kind, source, estimated, fetched_utc_ns
) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (zone, valid_utc_ns, source, kind) DO UPDATE SET
    g_per_kwh = excluded.g_per_kwh, estimated = excluded.estimated,
    fetched_utc_ns = excluded.fetched_utc_ns
"""

PHASE = """
INSERT INTO phase (run_id, pid, name, number, depth, began_mono_ns, ended_mono_ns)
VALUES (?, ?, ?, ?, ?, ?, ?)
"""

PHASE_END = "UPDATE phase SET ended_mono_ns = ? WHERE id = ?"

HEARTBEAT = "UPDATE run SET heartbeat_mono_ns = ? WHERE id = ?"

RUN_END = """
UPDATE run SET
    state = :state, ended_mono_ns = :ended_mono_ns, heartbeat_mono_ns = :ended_mono_ns,
    exit_code = :exit_code, exit_signal = :exit_signal, suspended_ns = :suspended_ns,
    job_cpu_us = :job_cpu_us, job_cpu_method = :job_cpu_method,
    machine_busy_us = :machine_busy_us
WHERE id = :id
"""

RUN_TOTALS = """
UPDATE run SET
    energy_uj = :energy_uj, energy_low_uj = :energy_low_uj, energy_high_uj = :energy_high_uj,
    estimated_uj = :estimated_uj, estimated_low_uj = :estimated_low_uj,
    estimated_high_uj = :estimated_high_uj, co2e_ug = :co2e_ug, coverage = :coverage,
    attribution = :attribution, carbon = :carbon, result = :result
WHERE id = :run_id
"""

RUN_DEVICE = """
INSERT INTO run_device (
    run_id, device_id, origin, energy_uj, low_uj, high_uj, coverage, counted, above_idle_uj
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
