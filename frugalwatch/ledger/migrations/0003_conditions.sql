-- What a device was like beside its energy, for people: every few seconds, where it is known.

CREATE TABLE condition (
    stream_id         INTEGER NOT NULL,
    t_mono_ns         INTEGER NOT NULL,
    temperature_mdegc INTEGER,                  -- thousandths of a degree Celsius
    clock_hz          INTEGER,                  -- of a GPU's multiprocessors; mean of some CPU threads
    fan_ppm           INTEGER,                  -- of the fan's highest speed, in millionths
    busy_ppm          INTEGER,                  -- of the time, as the driver says it, in millionths
    PRIMARY KEY (stream_id, t_mono_ns)
) WITHOUT ROWID;

-- How much a job said it will do in all: step(total=N), or phase("epoch", 3, of=N).
CREATE TABLE goal (
    run_id    INTEGER NOT NULL,
    pid       INTEGER NOT NULL,
    name      TEXT NOT NULL,                    -- of the phase that is counted; '': steps
    total     INTEGER NOT NULL,
    t_mono_ns INTEGER NOT NULL,                 -- when it was said last
    PRIMARY KEY (run_id, pid, name)
) WITHOUT ROWID;
