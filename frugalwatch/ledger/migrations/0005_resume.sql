-- What it takes to go on with an `advise` that was cut short, and to see how far a running one is.

ALTER TABLE advice ADD COLUMN
    plan             TEXT;                   -- JSON: what it was asked for (budget, rounds, limits, ...)
ALTER TABLE advice ADD COLUMN
    progress         TEXT;                   -- JSON: trials done and planned, time left, spent, whose process
ALTER TABLE trial ADD COLUMN
    details          TEXT;                   -- JSON: cost of one unit, latency, memory, comparison of outputs
