-- compatible with: 2
-- Changes that were tried out and rolled back before anybody decided on them. The sample holds
-- masked values only, is for approvers, and is deleted by retention; the count stays.
CREATE TABLE previews (
    ticket text PRIMARY KEY REFERENCES tickets (id),
    state text NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'done', 'none')),
    why text NOT NULL DEFAULT '',
    changed bigint,
    sample jsonb,
    begun_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    sample_deleted_at timestamptz
);

CREATE INDEX previews_with_samples ON previews (begun_at) WHERE sample IS NOT NULL;
