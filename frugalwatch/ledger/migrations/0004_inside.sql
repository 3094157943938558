-- What the hook inside a job's Python processes told. Figures are cumulative since the process
-- began, at moments of its choosing, so a row left out loses detail only.

-- A Python process of the job in which the hook began to work.
CREATE TABLE process (
    run_id      INTEGER NOT NULL,
    pid         INTEGER NOT NULL,
    t_mono_ns   INTEGER NOT NULL,               -- when it said so; what this pid tells until its next row here is this process's
    python      TEXT NOT NULL,                  -- version of its interpreter
    program     TEXT NOT NULL,                  -- name of its script or module
    rank        INTEGER,                        -- its place among the ranks of one training
    local_rank  INTEGER,
    world_size  INTEGER,
    features    TEXT NOT NULL DEFAULT '[]',     -- JSON: what of the hook was on
    PRIMARY KEY (run_id, pid, t_mono_ns)
) WITHOUT ROWID;

-- How many of something a process has done: step, batch, call, request, generate, token, fit, ...
CREATE TABLE unit_count (
    run_id      INTEGER NOT NULL,
    pid         INTEGER NOT NULL,
    unit        TEXT NOT NULL,
    t_mono_ns   INTEGER NOT NULL,               -- when the last of them was done
    count       INTEGER NOT NULL,
    samples     INTEGER,                        -- inside them, where that is known
    PRIMARY KEY (run_id, pid, unit, t_mono_ns)
) WITHOUT ROWID;

-- Wall time that a process spent in an activity: data_wait, forward, backward, optimizer, ...
CREATE TABLE activity (
    run_id      INTEGER NOT NULL,
    pid         INTEGER NOT NULL,
    activity    TEXT NOT NULL,
    t_mono_ns   INTEGER NOT NULL,
    spent_ns    INTEGER NOT NULL,
    PRIMARY KEY (run_id, pid, activity, t_mono_ns)
) WITHOUT ROWID;

-- How long each of a unit took, as a histogram; the last one that the process told.
CREATE TABLE unit_time (
    run_id      INTEGER NOT NULL,
    pid         INTEGER NOT NULL,
    unit        TEXT NOT NULL,
    t_mono_ns   INTEGER NOT NULL,
    buckets     TEXT NOT NULL,                  -- JSON: [[bucket, count], ...]; bucket b holds 1.02^b to 1.02^(b+1) nanoseconds
    PRIMARY KEY (run_id, pid, unit, t_mono_ns)
) WITHOUT ROWID;
