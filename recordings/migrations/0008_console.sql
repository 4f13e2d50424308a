-- compatible with: 2
-- Sessions of the approval page. The cookie's value is not here, only its keyed digest; the
-- principal is as the identity provider described it at sign-in.
CREATE TABLE console_sessions (
    digest bytea PRIMARY KEY,
    principal jsonb NOT NULL,
    principal_id text NOT NULL,
    opened_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL
);

CREATE INDEX console_sessions_expiry ON console_sessions (expires_at);
CREATE INDEX console_sessions_by_principal ON console_sessions (principal_id, opened_at);
