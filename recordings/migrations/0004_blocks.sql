-- compatible with: 2
-- The kill switch: agents, and people with every agent, that no gateway on this store lets in.
-- `until` is judged by the store's clock; without it a block holds until it is taken back.
CREATE TABLE blocks (
    kind text NOT NULL CHECK (kind IN ('agent', 'person')),
    name text NOT NULL,
    reason text NOT NULL,
    blocked_by text NOT NULL,
    blocked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    until timestamptz,
    PRIMARY KEY (kind, name)
);

-- Who came lately, with which agent: what there is to block. Brought up to date once a minute.
CREATE TABLE agents_seen (
    agent text NOT NULL,
    principal text NOT NULL,
    principal_name text NOT NULL,
    seen_at timestamptz NOT NULL,
    PRIMARY KEY (agent, principal)
);

CREATE INDEX agents_seen_lately ON agents_seen (seen_at);
