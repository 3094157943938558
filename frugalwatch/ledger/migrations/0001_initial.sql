-- Integers in SI base units: micro-joules (_uj), nanoseconds (_ns), micro-seconds of CPU (_us).
-- *_mono_ns is CLOCK_MONOTONIC of the boot named beside it; *_utc_ns is Unix time.
-- NULL is unknown; 0 is a measured zero.

PRAGMA application_id = 1181898612;  -- "FrWt": tells a ledger from any other SQLite file

-- A computer that recorded something.
CREATE TABLE machine (
    id            INTEGER PRIMARY KEY,
    machine_key   TEXT NOT NULL UNIQUE,   -- hash of /etc/machine-id, or of the host name
    hostname      TEXT NOT NULL,
    cpu_model     TEXT,
    cpu_threads   INTEGER,
    memory_bytes  INTEGER
);

-- One time that a machine was switched on; monotonic clocks start anew with each.
CREATE TABLE boot (
    id            INTEGER PRIMARY KEY,
    machine_id    INTEGER NOT NULL REFERENCES machine(id),
    boot_key      TEXT NOT NULL UNIQUE,   -- /proc/sys/kernel/random/boot_id
    kernel        TEXT
);

-- One source of energy figures on one machine.
CREATE TABLE device (
    id            INTEGER PRIMARY KEY,
    machine_id    INTEGER NOT NULL REFERENCES machine(id),
    key           TEXT NOT NULL,          -- rapl:package-0, nvidia:GPU-<uuid>, model:cpu
    domain        TEXT NOT NULL CHECK (domain IN ('cpu','gpu','ram','system','other')),
    name          TEXT NOT NULL,
    boundary      TEXT NOT NULL CHECK (boundary IN ('die','board','server_ac')),
    source        TEXT NOT NULL,
    part_of       TEXT,                   -- key of the device that contains this one
    encloses      TEXT NOT NULL DEFAULT '',  -- domains inside this figure, comma separated
    power_limit_w REAL,
    UNIQUE (machine_id, key, source)
);

-- One job: what was run, how it ended, and its totals.
CREATE TABLE run (
    id                  INTEGER PRIMARY KEY,
    run_key             TEXT NOT NULL UNIQUE,   -- sortable, made by `run`; what other nodes share is group_key
    group_key           TEXT,                   -- FRUGALWATCH_RUN_ID, SLURM_JOB_ID, TORCHELASTIC_RUN_ID, RAY_JOB_ID
    parent_run_key      TEXT,                   -- the run that this one ran inside
    boot_id             INTEGER NOT NULL REFERENCES boot(id),
    -- killed: the job died of a signal; interrupted: the machine went down; recovered: its watchers were killed
    state               TEXT NOT NULL CHECK (state IN ('running','done','killed','interrupted','recovered')),
    command             TEXT NOT NULL,          -- JSON array, secret-looking arguments masked
    command_hash        TEXT NOT NULL,          -- of the command and the folder: "the same command"
    cwd                 TEXT NOT NULL,
    git_commit          TEXT,
    environment         TEXT NOT NULL DEFAULT '{}',  -- JSON: allow-listed values, other names as null
    interval_ns         INTEGER NOT NULL,       -- between two samples, as asked for
    started_utc_ns      INTEGER NOT NULL,
    started_mono_ns     INTEGER NOT NULL,
    ended_mono_ns       INTEGER,                -- NULL while it runs
    heartbeat_mono_ns   INTEGER NOT NULL,       -- last time the sampler was known to be alive
    suspended_ns        INTEGER NOT NULL DEFAULT 0,  -- time inside the run that the machine slept
    pid_namespace       INTEGER,                -- inode of /proc/self/ns/pid that the pids below belong to
    supervisor_pid      INTEGER,
    supervisor_starttime INTEGER,               -- field 22 of /proc/<pid>/stat: a pid alone may be reused
    sampler_pid         INTEGER,
    sampler_starttime   INTEGER,
    job_pid             INTEGER,
    job_starttime       INTEGER,
    exit_code           INTEGER,                -- 128+N for signal N
    exit_signal         INTEGER,
    job_cpu_us          INTEGER,                -- CPU time of the whole tree
    job_cpu_method      TEXT,                   -- cgroup, tree, tree-lower-bound
    machine_busy_us     INTEGER,                -- all busy CPU time of the machine in the window
    cpu_limit           REAL,                   -- CPUs that the job may use (affinity, quota)
    attribution         TEXT,                   -- JSON, see docs/reference/run-object.md
    carbon              TEXT,                   -- JSON: zone, year, kind, source, g_per_kwh, low, high, assumed
    pue                 REAL NOT NULL DEFAULT 1.0,
    price_per_kwh       REAL,
    currency            TEXT,
    -- totals, written when the run ends and by `recover`; NULL before
    energy_uj           INTEGER,
    energy_low_uj       INTEGER,
    energy_high_uj      INTEGER,
    estimated_uj        INTEGER,
    estimated_low_uj    INTEGER,
    estimated_high_uj   INTEGER,
    co2e_ug             INTEGER,
    coverage            REAL,
    thinned             INTEGER NOT NULL DEFAULT 0,  -- 1: samples are one a minute, all of them
    result              TEXT                    -- JSON: the whole run object as it was printed
);
CREATE INDEX run_by_command ON run (command_hash, started_utc_ns);
CREATE INDEX run_by_start ON run (started_utc_ns);

-- One sampler's series for one device. Cumulative figures start at 0 in each stream.
CREATE TABLE stream (
    id            INTEGER PRIMARY KEY,
    run_id        INTEGER REFERENCES run(id),   -- NULL: the daemon's
    boot_id       INTEGER NOT NULL REFERENCES boot(id),
    device_id     INTEGER NOT NULL REFERENCES device(id),
    origin        TEXT NOT NULL CHECK (origin IN ('measured','derived','estimated','attributed')),
    tick_ns       INTEGER NOT NULL DEFAULT 0,
    gain_low      REAL NOT NULL DEFAULT 1.0,
    gain_high     REAL NOT NULL DEFAULT 1.0,
    idle_w        REAL,                         -- draw with no work on it, NULL: unknown
    idle_low_w    REAL,
    idle_high_w   REAL,
    idle_origin   TEXT NOT NULL DEFAULT '',     -- model, calibration, observed
    opened_mono_ns INTEGER NOT NULL,
    note          TEXT NOT NULL DEFAULT ''
);
CREATE INDEX stream_by_run ON stream (run_id);
CREATE INDEX stream_by_device ON stream (device_id, boot_id, opened_mono_ns);

-- Cumulative micro-joules of one stream. low/high are NULL where they equal energy_uj.
CREATE TABLE sample (
    stream_id   INTEGER NOT NULL,
    t_mono_ns   INTEGER NOT NULL,
    energy_uj   INTEGER NOT NULL,
    low_uj      INTEGER,
    high_uj     INTEGER,
    power_mw    INTEGER,                        -- as the sensor said it, where it says one
    PRIMARY KEY (stream_id, t_mono_ns)
) WITHOUT ROWID;

-- Cumulative CPU and GPU use beside the energy, since the run began.
CREATE TABLE usage (
    run_id          INTEGER NOT NULL,
    t_mono_ns       INTEGER NOT NULL,
    job_cpu_us      INTEGER,
    machine_busy_us INTEGER,
    PRIMARY KEY (run_id, t_mono_ns)
) WITHOUT ROWID;

CREATE TABLE gpu_usage (
    stream_id   INTEGER NOT NULL,
    t_mono_ns   INTEGER NOT NULL,
    job_busy_us INTEGER NOT NULL,               -- SM time of the job's processes, cumulative
    all_busy_us INTEGER NOT NULL,               -- SM time of every process, cumulative
    PRIMARY KEY (stream_id, t_mono_ns)
) WITHOUT ROWID;

-- What a person should know: gaps, lost devices, restarts, clock steps, warnings.
CREATE TABLE event (
    id            INTEGER PRIMARY KEY,
    run_id        INTEGER REFERENCES run(id),
    stream_id     INTEGER,
    kind          TEXT NOT NULL,                -- gap, lost, sampler_restarted, clock_step, suspended, ...
    cause         TEXT NOT NULL DEFAULT '',
    since_mono_ns INTEGER,
    t_mono_ns     INTEGER NOT NULL,
    energy_missing INTEGER NOT NULL DEFAULT 0,  -- 1: energy inside [since, t] is unknown
    detail        TEXT NOT NULL DEFAULT ''
);
CREATE INDEX event_by_run ON event (run_id);

-- Said by the job through frugalwatch.phase(), metric() and step().
CREATE TABLE phase (
    id            INTEGER PRIMARY KEY,
    run_id        INTEGER NOT NULL REFERENCES run(id),
    pid           INTEGER NOT NULL,
    name          TEXT NOT NULL,
    number        INTEGER,
    depth         INTEGER NOT NULL DEFAULT 0,
    began_mono_ns INTEGER NOT NULL,
    ended_mono_ns INTEGER
);
CREATE INDEX phase_by_run ON phase (run_id);

CREATE TABLE metric (
    id        INTEGER PRIMARY KEY,
    run_id    INTEGER NOT NULL REFERENCES run(id),
    pid       INTEGER NOT NULL,
    t_mono_ns INTEGER NOT NULL,
    name      TEXT NOT NULL,
    value     REAL                              -- NULL: the job said NaN
);
CREATE INDEX metric_by_run ON metric (run_id);

-- Cumulative number of steps that a process reported, at moments of its choosing.
CREATE TABLE step (
    run_id    INTEGER NOT NULL,
    pid       INTEGER NOT NULL,
    t_mono_ns INTEGER NOT NULL,
    steps     INTEGER NOT NULL,
    PRIMARY KEY (run_id, pid, t_mono_ns)
) WITHOUT ROWID;

-- Energy of one device in one run's window; written when the run ends.
CREATE TABLE run_device (
    run_id         INTEGER NOT NULL REFERENCES run(id),
    device_id      INTEGER NOT NULL REFERENCES device(id),
    origin         TEXT NOT NULL,
    energy_uj      INTEGER,
    low_uj         INTEGER,
    high_uj        INTEGER,
    coverage       REAL NOT NULL,
    counted        INTEGER NOT NULL,            -- 1: part of run.energy_uj or run.estimated_uj
    above_idle_uj  INTEGER,
    PRIMARY KEY (run_id, device_id, origin)
) WITHOUT ROWID;

-- A live grid source's values, beside the runs that used them.
CREATE TABLE carbon_intensity (
    zone          TEXT NOT NULL,
    valid_utc_ns  INTEGER NOT NULL,
    g_per_kwh     REAL NOT NULL,
    kind          TEXT NOT NULL,                -- average-lifecycle, average-direct, marginal
    source        TEXT NOT NULL,
    estimated     INTEGER NOT NULL DEFAULT 0,   -- 1: the source says that it is its own estimate
    fetched_utc_ns INTEGER NOT NULL,
    PRIMARY KEY (zone, valid_utc_ns, source, kind)
) WITHOUT ROWID;

-- What `calibrate` measured or was told, and idle power seen while no job ran.
CREATE TABLE calibration (
    id            INTEGER PRIMARY KEY,
    machine_id    INTEGER NOT NULL REFERENCES machine(id),
    device_key    TEXT NOT NULL,
    kind          TEXT NOT NULL,                -- idle, full_load, workloads
    value         TEXT NOT NULL,                -- JSON, SI units in key names
    origin        TEXT NOT NULL,                -- measured, told, imported
    made_utc_ns   INTEGER NOT NULL
);

CREATE VIEW run_energy AS
SELECT r.id AS run, r.run_key, r.state, r.exit_code, r.command,
       datetime(r.started_utc_ns / 1000000000, 'unixepoch') AS started_utc,
       (r.ended_mono_ns - r.started_mono_ns) / 1e9 AS duration_s,
       r.energy_uj / 1e6 AS energy_j, r.energy_low_uj / 1e6 AS energy_low_j,
       r.energy_high_uj / 1e6 AS energy_high_j, r.energy_uj / 3.6e9 AS energy_wh,
       r.estimated_uj / 1e6 AS estimated_j, r.estimated_low_uj / 1e6 AS estimated_low_j,
       r.estimated_high_uj / 1e6 AS estimated_high_j, r.estimated_uj / 3.6e9 AS estimated_wh,
       r.co2e_ug / 1e6 AS co2e_g, r.job_cpu_us / 1e6 AS cpu_s, r.coverage
FROM run r;

CREATE VIEW run_device_energy AS
SELECT d.run_id AS run, r.run_key, v.key AS device, v.domain, v.name, d.origin, v.boundary,
       v.source, v.part_of, d.counted, d.energy_uj / 1e6 AS energy_j, d.low_uj / 1e6 AS low_j,
       d.high_uj / 1e6 AS high_j, d.energy_uj / 3.6e9 AS energy_wh,
       CASE WHEN d.counted THEN
            d.energy_uj / 3.6e12 * json_extract(r.carbon, '$.g_per_kwh') * r.pue END AS co2e_g,
       d.coverage, d.above_idle_uj / 1e6 AS above_idle_j
FROM run_device d JOIN run r ON r.id = d.run_id JOIN device v ON v.id = d.device_id;

-- Mean power between each pair of neighbouring samples.
CREATE VIEW power AS
SELECT s.run_id AS run, v.key AS device, s.origin, x.t_mono_ns,
       (x.energy_uj - lag(x.energy_uj) OVER w) * 1000.0
         / nullif(x.t_mono_ns - lag(x.t_mono_ns) OVER w, 0) AS power_w
FROM sample x JOIN stream s ON s.id = x.stream_id JOIN device v ON v.id = s.device_id
WINDOW w AS (PARTITION BY x.stream_id ORDER BY x.t_mono_ns);
