-- One run. `epoch` is raised by every opening for writing; an append writes only where it still is its own.
CREATE TABLE run (
    one   INTEGER PRIMARY KEY CHECK (one = 1),
    id    TEXT NOT NULL,
    nonce BLOB NOT NULL,
    made  TEXT NOT NULL,
    epoch INTEGER NOT NULL
);

-- One row per batch, numbered from 1 without gaps. `events` is a JSON array; `checksum` is sha256 over the checksum of the
-- batch before (the first: over the run's id and nonce), the epoch as 8 bytes and `events`.
CREATE TABLE batch (
    number   INTEGER PRIMARY KEY,
    epoch    INTEGER NOT NULL,
    events   BLOB NOT NULL,
    checksum BLOB NOT NULL
);

PRAGMA user_version = 1;
