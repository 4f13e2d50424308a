-- compatible with: 2
-- Tasks of the MCP extension io.modelcontextprotocol/tasks: calls that go on while a person decides.
-- The work is in the process that took the call; `alive_until` is its lease, by the store's clock.
-- `requests` wait for input of the client, `answers` are what it gave; json and not jsonb, which takes
-- no NUL. `result` is the finished tool result, as masked and delivered; the row is deleted at `expires_at`.
CREATE TABLE tasks (
    id text PRIMARY KEY,
    principal text NOT NULL,
    agent text NOT NULL,
    ticket text NOT NULL,
    status text NOT NULL DEFAULT 'working'
        CHECK (status IN ('working', 'input_required', 'completed', 'failed', 'cancelled')),
    open boolean NOT NULL GENERATED ALWAYS AS (status IN ('working', 'input_required')) STORED,
    message text NOT NULL DEFAULT '',
    requests json NOT NULL DEFAULT '{}',
    answers json NOT NULL DEFAULT '{}',
    result json,
    error json,
    cancel_asked boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    alive_until timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);

CREATE INDEX tasks_open ON tasks (principal) WHERE open;
CREATE INDEX tasks_by_expiry ON tasks (expires_at);
