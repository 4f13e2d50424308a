-- compatible with: 2
-- Who is told of tickets, by name, and since when: older tickets are nobody's news.
CREATE TABLE webhooks (
    name text PRIMARY KEY,
    since timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- One event of one ticket for one webhook. A gateway that delivers it moves `due_at` into the
-- future and counts the try: that is its lease, and the number of tries is the fence against one
-- that comes back late. What is said is made from the ticket each time, and not kept here.
CREATE TABLE deliveries (
    id text PRIMARY KEY,
    webhook text NOT NULL,
    ticket text NOT NULL REFERENCES tickets (id),
    event text NOT NULL,
    state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'delivered', 'dead')),
    tries int NOT NULL DEFAULT 0,
    noticed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    due_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at timestamptz,
    why text NOT NULL DEFAULT '',
    UNIQUE (webhook, ticket, event)
);

CREATE INDEX deliveries_due ON deliveries (webhook, due_at) WHERE state = 'waiting';
CREATE INDEX deliveries_dead ON deliveries (ended_at) WHERE state = 'dead';
CREATE INDEX tickets_by_expiry ON tickets (expires_at);
