-- compatible with: 1
-- Approval tickets. One open ticket for one exact request; used at most once, by compare-and-set.
CREATE TABLE tickets (
    id text PRIMARY KEY,
    state text NOT NULL DEFAULT 'pending'
        CHECK (state IN ('pending', 'approved', 'denied', 'expired', 'void', 'used')),
    principal text NOT NULL,
    principal_name text NOT NULL,
    agent text NOT NULL,
    target text NOT NULL,
    binding bytea NOT NULL,
    document jsonb NOT NULL,
    requirements jsonb NOT NULL,
    asked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL,
    used_at timestamptz
);

CREATE UNIQUE INDEX tickets_open ON tickets (binding) WHERE state IN ('pending', 'approved');
CREATE INDEX tickets_by_state ON tickets (state, asked_at);
CREATE INDEX tickets_by_principal ON tickets (principal, asked_at);

CREATE TABLE ticket_decisions (
    ticket text NOT NULL REFERENCES tickets (id),
    principal text NOT NULL,
    principal_name text NOT NULL,
    approve boolean NOT NULL,
    comment text NOT NULL,
    channel text NOT NULL,
    policies text[] NOT NULL,
    decided_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (ticket, principal)
);
