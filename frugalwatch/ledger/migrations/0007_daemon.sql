-- What the daemon adds to its own ledger: who used the machine, a minute at a time. Minutes that are
-- older than a year are summed up to days. Kinds overlap (a process is also in a control group):
-- figures of different kinds are never added up.

-- Something that works on a machine, by the name that the machine gives it. No process numbers.
CREATE TABLE workload (
    id            INTEGER PRIMARY KEY,
    kind          TEXT NOT NULL CHECK (kind IN ('process','cgroup','container','slurm','user')),
    name          TEXT NOT NULL,                -- '(others)': too small to name; '(not seen)': came and went between two looks
    UNIQUE (kind, name)
);

-- Energy of one device over a minute, or over a day where that was summed up.
CREATE TABLE minute (
    stream_id     INTEGER NOT NULL,
    t_mono_ns     INTEGER NOT NULL,             -- its end
    since_mono_ns INTEGER NOT NULL,
    energy_uj     INTEGER NOT NULL,
    low_uj        INTEGER NOT NULL,
    high_uj       INTEGER NOT NULL,
    above_idle_uj INTEGER,                      -- NULL: nobody knows what it draws without work
    idle_uj       INTEGER,                      -- of a GPU: used while no process was on it
    busy_us       INTEGER,                      -- of all CPUs, or of a GPU's multiprocessors
    PRIMARY KEY (stream_id, t_mono_ns)
) WITHOUT ROWID;

-- A workload's part of a minute's energy above idle, split by busy time: attributed, never measured.
CREATE TABLE share (
    stream_id     INTEGER NOT NULL,
    t_mono_ns     INTEGER NOT NULL,             -- of the minute
    workload_id   INTEGER NOT NULL REFERENCES workload(id),
    busy_us       INTEGER NOT NULL,
    energy_uj     INTEGER,                      -- NULL: idle power is unknown; then low is 0, high all of it
    low_uj        INTEGER NOT NULL,
    high_uj       INTEGER NOT NULL,
    PRIMARY KEY (stream_id, t_mono_ns, workload_id)
) WITHOUT ROWID;

CREATE VIEW workload_energy AS
SELECT w.kind, w.name, v.key AS device, s.origin AS device_origin, 'attributed' AS origin,
       datetime((m.t_mono_ns + r.started_utc_ns - r.started_mono_ns) / 1000000000, 'unixepoch')
         AS until_utc,
       (m.t_mono_ns - m.since_mono_ns) / 1e9 AS span_s, x.busy_us / 1e6 AS busy_s,
       x.energy_uj / 1e6 AS energy_j, x.low_uj / 1e6 AS low_j, x.high_uj / 1e6 AS high_j
FROM share x JOIN minute m ON m.stream_id = x.stream_id AND m.t_mono_ns = x.t_mono_ns
JOIN stream s ON s.id = x.stream_id JOIN run r ON r.id = s.run_id
JOIN device v ON v.id = s.device_id JOIN workload w ON w.id = x.workload_id;
