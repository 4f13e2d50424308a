-- compatible with: 1
-- The journal: who writes, in which streams, which records, and the records' bodies.

-- One row a running gateway process. Alive while a lock of one of its streams is held.
CREATE TABLE writers (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    gateway text NOT NULL,
    opened_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at timestamptz,
    ended_by bigint REFERENCES writers (number)
);

CREATE INDEX writers_open ON writers (number) WHERE ended_at IS NULL;

-- One hash chain. `number` is its fencing epoch and the key of its advisory lock; `id` is what
-- the chain covers. `server_started` tells a lock that a restart of the store has freed from one
-- whose owner died.
CREATE TABLE streams (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id uuid NOT NULL UNIQUE,
    writer bigint NOT NULL REFERENCES writers (number),
    role text NOT NULL CHECK (role IN ('decisions', 'results')),
    digest_key text NOT NULL,
    opened_at bigint NOT NULL,
    server_started timestamptz NOT NULL DEFAULT pg_postmaster_start_time(),
    closed_at timestamptz,
    last_sequence bigint,
    last_hash bytea
);

CREATE INDEX streams_by_writer ON streams (writer);

-- No foreign keys here: each would cost a look-up a record, and `verify` finds what has no parent.
-- `at` is microseconds since 1970 by the store's clock; `document` is the exact canonical JSON.
CREATE TABLE records (
    stream bigint NOT NULL,
    sequence bigint NOT NULL,
    at bigint NOT NULL,
    session text NOT NULL,
    kind text NOT NULL,
    document text NOT NULL,
    digest bytea NOT NULL,
    hash bytea NOT NULL,
    PRIMARY KEY (stream, sequence)
);

CREATE INDEX records_by_session ON records (session, at, stream, sequence);
CREATE INDEX records_opened ON records (at) WHERE kind = 'session_opened';
CREATE INDEX records_opened_by_stream ON records (stream, session) WHERE kind = 'session_opened';
CREATE INDEX records_closed ON records (session) WHERE kind = 'session_closed';

-- Apart, so that retention can delete a body and the chain, which covers its digest, still verifies.
CREATE TABLE bodies (
    stream bigint NOT NULL,
    sequence bigint NOT NULL,
    body bytea,
    deleted_at timestamptz,
    PRIMARY KEY (stream, sequence),
    CHECK ((body IS NULL) = (deleted_at IS NOT NULL))
);

-- Compressing 64 KiB chunks of rows costs more than the rest of the write.
ALTER TABLE bodies ALTER COLUMN body SET STORAGE EXTERNAL;
