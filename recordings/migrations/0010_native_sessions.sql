-- compatible with: 2
-- Tokens for clients of native doors: what is kept is a digest, and whom it was issued to.
CREATE TABLE gateway_tokens (
    id text PRIMARY KEY,
    digest bytea NOT NULL,
    principal text NOT NULL,
    principal_name text NOT NULL,
    agent text NOT NULL,
    groups text[] NOT NULL,
    email text,
    target text NOT NULL,
    protocol text NOT NULL,
    issued_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL,
    used_at timestamptz,
    revoked_at timestamptz,
    revoked_by text
);

CREATE INDEX gateway_tokens_by_principal ON gateway_tokens (principal, expires_at);
CREATE INDEX gateway_tokens_by_expiry ON gateway_tokens (expires_at);

-- Sessions of native doors that are open now, at any gateway on this store: each says every few
-- seconds that it is (`seen_at`). Where `ended_by` is set, its gateway ends it.
CREATE TABLE native_sessions (
    id text PRIMARY KEY,
    principal text NOT NULL,
    principal_name text NOT NULL,
    agent text NOT NULL,
    target text NOT NULL,
    channel text NOT NULL,
    address text NOT NULL,
    token text NOT NULL,
    opened_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_by text
);

CREATE INDEX native_sessions_by_seen ON native_sessions (seen_at);
