-- Look-ups that are none of compile and link actions, told apart.

ALTER TABLE invocation ADD COLUMN index_lookups INTEGER NOT NULL DEFAULT 0;
ALTER TABLE invocation ADD COLUMN test_lookups INTEGER NOT NULL DEFAULT 0;
ALTER TABLE invocation ADD COLUMN other_lookups INTEGER NOT NULL DEFAULT 0;
