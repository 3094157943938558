-- What `advise` found by replaying a workload, every replay it took, and what `verify` said later.
-- Ratios are "with the change" over "as written", paired within a round: 0.6 uses 40 % less.

CREATE TABLE advice (
    id               INTEGER PRIMARY KEY,    -- people type it as A1, A2
    advice_key       TEXT NOT NULL UNIQUE,   -- sortable by time, unique across machines
    machine_id       INTEGER NOT NULL REFERENCES machine(id),
    state            TEXT NOT NULL CHECK (state IN ('running','done','interrupted','failed')),
    command          TEXT NOT NULL,          -- JSON array, secret-looking arguments masked
    command_hash     TEXT NOT NULL,          -- as in table run: "the same command"
    cwd              TEXT NOT NULL,
    stdin_path       TEXT,                   -- file that every replay reads; NULL: /dev/null
    run_id           INTEGER REFERENCES run(id),  -- the recorded run that was replayed
    unit             TEXT,                   -- what is compared: energy_j or cpu_s
    cpus             REAL,                   -- hardware threads that the replays could use
    seed             INTEGER NOT NULL,       -- of the order of trials and the bootstrap
    started_utc_ns   INTEGER NOT NULL,
    ended_utc_ns     INTEGER,
    change           TEXT,                   -- JSON of the first recommendation; NULL: none
    ratio            REAL,                   -- what is promised of it, with its interval
    ratio_low        REAL,
    ratio_high       REAL,
    resolution       REAL,                   -- the program against itself: |ratio - 1| that is noise
    rounds           INTEGER,                -- confirmation rounds behind the promise
    spent_cpu_us     INTEGER,                -- used by all replays of this advice
    spent_wall_ns    INTEGER,
    spent_energy_uj  INTEGER,                -- NULL: no counter
    result           TEXT                    -- JSON: frugalwatch.advice/1 as it was printed
);
CREATE INDEX advice_by_command ON advice (command_hash, started_utc_ns);

CREATE TABLE verification (
    id               INTEGER PRIMARY KEY,
    advice_id        INTEGER NOT NULL REFERENCES advice(id),
    recommendation   INTEGER NOT NULL,       -- its number in the report
    machine_id       INTEGER NOT NULL REFERENCES machine(id),
    started_utc_ns   INTEGER NOT NULL,
    verdict          TEXT CHECK (verdict IN ('held','not_held','cannot_tell')),
    ratio            REAL,
    ratio_low        REAL,
    ratio_high       REAL,
    rounds           INTEGER,
    result           TEXT                    -- JSON: frugalwatch.verification/1
);
CREATE INDEX verification_by_advice ON verification (advice_id);

-- One replay. Written as soon as it is over.
CREATE TABLE trial (
    id               INTEGER PRIMARY KEY,
    advice_id        INTEGER NOT NULL REFERENCES advice(id),
    verification_id  INTEGER REFERENCES verification(id),  -- NULL: made by `advise`
    stage            TEXT NOT NULL CHECK (stage IN ('probe','screening','confirmation')),
    round            INTEGER NOT NULL,
    variant          TEXT NOT NULL,          -- as written, as written again, one thread, ...
    change           TEXT NOT NULL,          -- JSON: variables set and removed
    state            TEXT NOT NULL CHECK (state IN ('ok','failed','timeout','unmeasured')),
    exit_code        INTEGER,
    started_utc_ns   INTEGER NOT NULL,
    wall_ns          INTEGER,                -- the command alone, our launcher taken off
    cpu_us           INTEGER,
    energy_uj        INTEGER,                -- counters only; NULL: none
    output_sha256    TEXT,                   -- of its stdout
    metric           REAL                    -- what --metric found
);
CREATE INDEX trial_by_advice ON trial (advice_id, stage, round);
