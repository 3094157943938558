-- How far this ledger was sent to the site's server. It is the spool itself: what is sent is read
-- from the samples and totals above, so these tables only hold how far that went.

-- A server that this ledger is sent to.
CREATE TABLE remote_target (
    id                INTEGER PRIMARY KEY,
    url               TEXT NOT NULL UNIQUE,     -- without user and password
    ledger_key        TEXT NOT NULL,            -- label `ledger` of every series: tells this file from one that took its place
    told_utc_ns       INTEGER,                  -- last time that the server took something
    error             TEXT,                     -- why it did not, last time; NULL: nothing is wrong
    error_utc_ns      INTEGER,
    in_flight_ms      INTEGER                   -- newest time in a request that was begun; NULL: all were answered
);

-- A device's counter on that server: all that this ledger ever recorded of it, cumulative.
CREATE TABLE remote_series (
    id                INTEGER PRIMARY KEY,
    target_id         INTEGER NOT NULL REFERENCES remote_target(id),
    labels            TEXT NOT NULL,            -- JSON, without the node's
    sent_ms           INTEGER,                  -- time of the newest value that the server took; NULL: none yet
    sent_uj           INTEGER,                  -- that value
    UNIQUE (target_id, labels)
);

-- How far a boot's recordings are in that counter.
CREATE TABLE remote_counted (
    series_id         INTEGER NOT NULL REFERENCES remote_series(id),
    boot_key          TEXT NOT NULL,
    energy_uj         INTEGER NOT NULL,         -- of this boot, overlap counted once
    covered_ns        INTEGER NOT NULL,         -- time that any recording covers
    until_mono_ns     INTEGER NOT NULL,
    PRIMARY KEY (series_id, boot_key)
) WITHOUT ROWID;

-- Totals of runs by the name that their nodes share, until a query has read them back.
CREATE TABLE remote_run (
    target_id         INTEGER NOT NULL REFERENCES remote_target(id),
    run_group         TEXT NOT NULL,            -- what the nodes of a job share, else the run's own key
    boot_key          TEXT NOT NULL,
    state             TEXT NOT NULL CHECK (state IN ('running','sent','confirmed')),
    figures           TEXT NOT NULL,            -- JSON: what was sent
    sent_ms           INTEGER NOT NULL,
    tries             INTEGER NOT NULL DEFAULT 0,  -- how often it was not read back
    next_utc_ns       INTEGER NOT NULL,         -- when to look again
    PRIMARY KEY (target_id, run_group, boot_key)
) WITHOUT ROWID;

-- Detail that the server would not take. The counter's next value has its energy.
CREATE TABLE remote_loss (
    id                INTEGER PRIMARY KEY,
    target_id         INTEGER NOT NULL REFERENCES remote_target(id),
    series_id         INTEGER NOT NULL REFERENCES remote_series(id),
    since_ms          INTEGER NOT NULL,         -- of the values left out: the first
    until_ms          INTEGER NOT NULL,         -- and the last
    points            INTEGER NOT NULL,         -- how many
    cause             TEXT NOT NULL,            -- what the server said
    noted_utc_ns      INTEGER NOT NULL
);
