-- compatible with: 2
-- By what a client knows its session, so that any gateway on this store can stop it: the digest of a
-- cancel key, or numbers of connections.
ALTER TABLE native_sessions ADD COLUMN known_as text[] NOT NULL DEFAULT '{}';
