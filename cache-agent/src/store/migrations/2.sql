-- Who compiled what last: actions of compilers, packages by directory, and packages from wherever, each by a
-- hash that has the cache in it. One row for each, whoever builds it how often.

CREATE TABLE compiled (
    key        INTEGER PRIMARY KEY, -- model/compiled.rs
    invocation INTEGER NOT NULL     -- its key; the invocation may be forgotten by now
);
