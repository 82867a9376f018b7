-- Invocations, what each wrote by package, sizes of roots by minute, crossings of thresholds.

CREATE TABLE invocation (
    key           INTEGER PRIMARY KEY,
    id            TEXT    NOT NULL UNIQUE,
    parent        TEXT,
    tool          TEXT    NOT NULL,
    verb          TEXT    NOT NULL,
    version       TEXT    NOT NULL,
    argv          TEXT    NOT NULL, -- JSON, as are all columns below that say so
    cwd           TEXT    NOT NULL,
    module        TEXT    NOT NULL,
    uid           INTEGER NOT NULL,
    user          TEXT    NOT NULL,
    container     TEXT    NOT NULL,
    runtime       TEXT    NOT NULL,
    pod           TEXT    NOT NULL,
    namespace     TEXT    NOT NULL,
    unit          TEXT    NOT NULL,
    slice         TEXT    NOT NULL,
    cgroup        TEXT    NOT NULL,
    ci            TEXT    NOT NULL, -- JSON
    traceparent   TEXT    NOT NULL,
    start_ms      INTEGER NOT NULL, -- since the Unix epoch
    duration_s    REAL    NOT NULL,
    exit_code     INTEGER,          -- NULL while it runs; then the row is final
    growth_bytes  INTEGER NOT NULL,
    freed_bytes   INTEGER NOT NULL,
    files_created INTEGER NOT NULL,
    files_deleted INTEGER NOT NULL,
    lookups       INTEGER NOT NULL,
    hits          INTEGER NOT NULL,
    misses        INTEGER NOT NULL,
    roots         TEXT    NOT NULL, -- JSON
    cause         TEXT    NOT NULL, -- JSON
    fingerprint   TEXT    NOT NULL, -- JSON
    processes     TEXT    NOT NULL  -- JSON
);

-- Newest first, retention, and growth by module of a span of time: the last reads nothing but this index.
CREATE INDEX invocation_start ON invocation (start_ms, module, growth_bytes, freed_bytes);

-- The last ones of a module.
CREATE INDEX invocation_module ON invocation (module, start_ms);

CREATE TABLE root_path (
    key  INTEGER PRIMARY KEY,
    path TEXT    NOT NULL UNIQUE
);

-- Which invocation changed which root; how much is in the invocation's JSON.
CREATE TABLE touched (
    invocation INTEGER NOT NULL REFERENCES invocation (key) ON DELETE CASCADE,
    root_path  INTEGER NOT NULL REFERENCES root_path (key),
    at_ms      INTEGER NOT NULL, -- the invocation's start
    PRIMARY KEY (invocation, root_path)
) WITHOUT ROWID;

-- The last ones that changed a root.
CREATE INDEX touched_root ON touched (root_path, at_ms);

CREATE TABLE package (
    invocation   INTEGER NOT NULL REFERENCES invocation (key) ON DELETE CASCADE,
    class        TEXT    NOT NULL,
    path         TEXT    NOT NULL, -- empty = unmapped
    variant      TEXT    NOT NULL,
    growth_bytes INTEGER NOT NULL,
    files        INTEGER NOT NULL,
    PRIMARY KEY (invocation, class, path, variant)
) WITHOUT ROWID;

CREATE TABLE root (
    key  INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    path TEXT NOT NULL,
    kind TEXT NOT NULL,
    UNIQUE (name, path, kind)
);

-- At most one row per root and minute, and none for a minute in which nothing changed.
CREATE TABLE root_size (
    root       INTEGER NOT NULL REFERENCES root (key),
    minute     INTEGER NOT NULL, -- since the Unix epoch
    size_bytes INTEGER NOT NULL,
    disk_bytes INTEGER NOT NULL,
    files      INTEGER NOT NULL,
    PRIMARY KEY (root, minute)
) WITHOUT ROWID;

CREATE INDEX root_size_minute ON root_size (minute);

CREATE TABLE crossing (
    key     INTEGER PRIMARY KEY,
    at_ms   INTEGER NOT NULL, -- since the Unix epoch
    root    INTEGER NOT NULL REFERENCES root (key),
    level   TEXT    NOT NULL,
    crossed INTEGER NOT NULL, -- 1 to the bad side, 0 back
    value   REAL,             -- NULL where it is not known
    "limit" REAL    NOT NULL
);

CREATE INDEX crossing_at ON crossing (at_ms);

CREATE INDEX crossing_root ON crossing (root);
