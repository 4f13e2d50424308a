-- What somebody with rights on the database may have left there: code that a read would set off, and
-- relations through which labelled values could come out under another name.
SET check_function_bodies = off;
CREATE TABLE witness (id serial PRIMARY KEY, what text);
CREATE FUNCTION poke(x text) RETURNS text LANGUAGE plpgsql AS
    $$BEGIN INSERT INTO public.witness (what) VALUES (x); RETURN x; END$$;
CREATE FUNCTION leak(i integer) RETURNS text LANGUAGE sql STABLE AS
    'SELECT reverse(ssn) FROM public.customers WHERE id = i';
CREATE FUNCTION upper(x integer) RETURNS text LANGUAGE sql STABLE AS
    'SELECT reverse(ssn) FROM public.customers WHERE id = x';
CREATE FUNCTION joined(a text, b text) RETURNS text LANGUAGE sql STABLE AS
    'SELECT reverse(ssn) FROM public.customers WHERE id = 1';
CREATE OPERATOR <+> (LEFTARG = text, RIGHTARG = text, FUNCTION = joined);
CREATE OPERATOR @@ (RIGHTARG = text, FUNCTION = pg_catalog.pg_read_file);
CREATE FUNCTION beginning(a integer, b integer) RETURNS text LANGUAGE sql STABLE AS
    'SELECT reverse(ssn) FROM public.customers WHERE id = 1';
CREATE OPERATOR ~<=~ (LEFTARG = integer, RIGHTARG = integer, FUNCTION = beginning);
CREATE AGGREGATE gather(text) (SFUNC = joined, STYPE = text);
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE DOMAIN small AS integer CHECK (value < 10);
CREATE TYPE pair AS (a integer, b text);
CREATE TABLE typed (id integer PRIMARY KEY, m mood, p pair, ps pair[], d small, r int4range);
INSERT INTO typed VALUES (1, 'sad', ROW (1, 'x'), '{}', 3, '[1,3)');
CREATE FUNCTION pair_text(x pair) RETURNS text LANGUAGE plpgsql AS
    $$BEGIN INSERT INTO public.witness (what) VALUES ('cast'); RETURN 'x'; END$$;
CREATE CAST (pair AS text) WITH FUNCTION pair_text(pair) AS IMPLICIT;
CREATE TABLE rowed (id integer);
INSERT INTO rowed VALUES (1);
CREATE FUNCTION rowed_text(x rowed) RETURNS text LANGUAGE plpgsql AS
    $$BEGIN INSERT INTO public.witness (what) VALUES ('row'); RETURN 'x'; END$$;
CREATE CAST (rowed AS text) WITH FUNCTION rowed_text(rowed) AS IMPLICIT;

CREATE VIEW v_calls AS SELECT id, leak(id) AS x FROM orders WHERE id < 4;
CREATE VIEW v_casts AS SELECT id, p::text AS x FROM typed;
CREATE VIEW v_statistics AS
    SELECT attname, most_common_vals::text AS x, histogram_bounds::text AS y FROM pg_stats;
CREATE VIEW v_statistic AS SELECT starelid, stavalues1::text AS x FROM pg_statistic;
CREATE VIEW v_others AS SELECT query FROM pg_stat_activity;
CREATE VIEW v_over AS SELECT * FROM v_statistic;
CREATE VIEW v_row AS SELECT c AS r FROM customers c;
CREATE VIEW v_json AS SELECT to_jsonb(c) AS j FROM customers c;
CREATE VIEW v_union AS SELECT name AS x FROM customers UNION ALL SELECT reverse(ssn) FROM customers;
CREATE VIEW v_lateral AS
    SELECT c.id, l.x FROM customers c, LATERAL (SELECT reverse(c.ssn) AS x) l;
CREATE VIEW v_nested AS
    SELECT id, (SELECT string_agg(reverse(ssn), ',') FROM customers) AS x FROM orders WHERE id < 4;
CREATE VIEW v_case AS SELECT id, CASE WHEN ssn LIKE '2%' THEN 'two' ELSE 'no' END AS x FROM customers;
CREATE MATERIALIZED VIEW m_calls AS SELECT id, leak(id) AS x FROM orders WHERE id < 4;
CREATE MATERIALIZED VIEW m_copies AS SELECT id, reverse(ssn) AS x, ssn AS y FROM customers;
CREATE MATERIALIZED VIEW m_over AS SELECT x || '' AS x FROM m_calls;
CREATE TABLE vip (level integer) INHERITS (customers);
INSERT INTO vip VALUES
    (10, 'Vip', 'vip.canary@example.com', '123-45-6780', '+1 202 555 0199', NULL, 1, 9);
CREATE TABLE ledger (id integer, ssn text) PARTITION BY RANGE (id);
CREATE TABLE ledger_1 PARTITION OF ledger FOR VALUES FROM (0) TO (1000);
CREATE TABLE copies (id integer, t text);
CREATE TABLE checked (id integer PRIMARY KEY, ssn text, CHECK (ssn <> 'x'));
ANALYZE customers;
