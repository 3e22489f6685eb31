-- `recent`: the last durations in seconds, oldest first, as a JSON list. `median` is theirs.
CREATE TABLE IF NOT EXISTS duration (
    key    TEXT PRIMARY KEY,
    median REAL NOT NULL,
    recent TEXT NOT NULL
) WITHOUT ROWID;

-- `entry`: an output kept for `cache`, as JSON.
CREATE TABLE IF NOT EXISTS output (
    key   TEXT PRIMARY KEY,
    entry BLOB NOT NULL
) WITHOUT ROWID;

PRAGMA user_version = 1;
