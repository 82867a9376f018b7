-- Why an invocation compiled what it compiled: one row for all packages with the same reasons.

CREATE TABLE built (
    invocation INTEGER NOT NULL REFERENCES invocation (key) ON DELETE CASCADE,
    number     INTEGER NOT NULL,
    reasons    TEXT    NOT NULL, -- JSON, as are "how" and the packages
    against    TEXT,             -- id of the invocation compared with, which may be forgotten by now
    how        TEXT    NOT NULL,
    packages   TEXT    NOT NULL,
    PRIMARY KEY (invocation, number)
) WITHOUT ROWID;
