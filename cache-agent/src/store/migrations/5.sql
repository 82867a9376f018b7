-- Who called sudo, for what ran as root.

ALTER TABLE invocation ADD COLUMN sudo_user TEXT NOT NULL DEFAULT '';
