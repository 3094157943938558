-- What each process of a job used, as the sampler saw it once a second. Of each run there is one
-- account, which takes the place of the one before; the last is of the run's end. What a process
-- used after the last look at it, and all that came and went between two looks, is in no row: it
-- is what run.job_cpu_us has beyond their sum.
CREATE TABLE job_process (
    run_id        INTEGER NOT NULL,
    pid           INTEGER NOT NULL,             -- 0: all those that are not told one by one
    starttime     INTEGER NOT NULL,             -- field 22 of /proc/<pid>/stat: with its pid, its identity
    name          TEXT NOT NULL,                -- as the kernel calls it, 15 characters at most
    processes     INTEGER NOT NULL DEFAULT 1,   -- how many are in this row
    first_mono_ns INTEGER NOT NULL,             -- the first look that found it
    last_mono_ns  INTEGER NOT NULL,             -- the last one
    gone_mono_ns  INTEGER,                      -- the first look that missed it; NULL: the last look found it
    cpu_us        INTEGER NOT NULL,             -- its own, without its children's
    PRIMARY KEY (run_id, pid, starttime)
) WITHOUT ROWID;

-- For how long each of these processes kept a GPU busy, where the driver tells.
CREATE TABLE job_process_gpu (
    stream_id     INTEGER NOT NULL,
    pid           INTEGER NOT NULL,
    starttime     INTEGER NOT NULL,
    busy_us       INTEGER NOT NULL,             -- SM time
    PRIMARY KEY (stream_id, pid, starttime)
) WITHOUT ROWID;
