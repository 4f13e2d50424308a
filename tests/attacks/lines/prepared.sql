-- More of what a hostile or careless database holds, beside tests/attacks_sql/hostile.sql.
CREATE EXTENSION dblink;
CREATE EXTENSION tablefunc;
CREATE EXTENSION hstore;
CREATE EXTENSION pg_prewarm;
CREATE EXTENSION lo;
CREATE SCHEMA evil;
CREATE SCHEMA "Odd Schema";
CREATE TABLE "Odd Schema"."People" (id integer, ssn text);
INSERT INTO "Odd Schema"."People" SELECT id, ssn FROM customers;
CREATE TABLE evil.people (id integer);
CREATE TABLE people (id integer PRIMARY KEY, ssn text);
INSERT INTO people SELECT id, ssn FROM customers;
CREATE FUNCTION evil.lower(x text) RETURNS text LANGUAGE plpgsql AS
    $$BEGIN INSERT INTO public.witness (what) VALUES ('lower'); RETURN x; END$$;
CREATE FUNCTION evil.same(a text, b text) RETURNS boolean LANGUAGE plpgsql AS
    $$BEGIN INSERT INTO public.witness (what) VALUES ('same'); RETURN true; END$$;
CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.same);
CREATE FUNCTION is_fine(x integer) RETURNS boolean LANGUAGE plpgsql AS
    $$BEGIN INSERT INTO public.witness (what) VALUES ('domain'); RETURN true; END$$;
CREATE DOMAIN guarded AS integer CHECK (is_fine(value));
CREATE FUNCTION definer() RETURNS text LANGUAGE sql STABLE SECURITY DEFINER AS
    'SELECT reverse(ssn) FROM public.customers WHERE id = 1';
CREATE PROCEDURE change_orders() LANGUAGE sql AS 'DELETE FROM public.orders';
CREATE VIEW v_definer WITH (security_invoker = off) AS SELECT id, definer() AS x FROM orders;
CREATE VIEW v_people AS SELECT id, reverse(ssn) AS x FROM people;
CREATE VIEW v_writes AS SELECT id, status FROM orders;
CREATE RULE writes AS ON UPDATE TO v_writes DO INSTEAD INSERT INTO witness (what) VALUES ('rule');
CREATE TABLE private (owner name, what text);
INSERT INTO private VALUES ('somebody', 'row-canary-51');
ALTER TABLE private ENABLE ROW LEVEL SECURITY;
ALTER TABLE private FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON private USING (owner = current_user);
CREATE SERVER elsewhere FOREIGN DATA WRAPPER dblink_fdw OPTIONS (host '169.254.169.254');
CREATE EXTENSION file_fdw;
CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
CREATE FOREIGN TABLE passwords (line text) SERVER files OPTIONS (filename '/etc/passwd');
CREATE TABLE counted (id integer DEFAULT nextval('witness_id_seq'), status text);
CREATE UNIQUE INDEX people_ssn ON people (ssn);
CREATE TABLE referring (id integer PRIMARY KEY, ssn text REFERENCES people (ssn));
CREATE VIEW v_typed AS SELECT id, ssn::varchar(20) AS s, ssn::"char" AS c FROM customers;
SELECT lo_from_bytea(4711, convert_to((SELECT ssn FROM customers WHERE id = 1), 'UTF8'));
ANALYZE customers, people;

-- What a read sets off although it names nothing of the kind: the planner's and the types' doing.
CREATE FUNCTION sneaky() RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS
    $$BEGIN PERFORM public.poke('planned'); RETURN true; END$$;
CREATE FUNCTION sneaky(x integer) RETURNS boolean IMMUTABLE LANGUAGE sql AS
    'SELECT $1 > 0 AND public.sneaky()';
CREATE FUNCTION plain(x text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS
    $$BEGIN PERFORM public.poke('plain'); RETURN x; END$$;
CREATE FUNCTION compared(a text, b text) RETURNS integer IMMUTABLE LANGUAGE plpgsql AS
    $$BEGIN PERFORM public.poke('compared'); RETURN bttextcmp(a, b); END$$;
CREATE OPERATOR CLASS evil.ops FOR TYPE text USING btree AS
    OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >,
    FUNCTION 1 compared(text, text);
CREATE TYPE holder AS (g guarded);
CREATE TABLE domained (id integer, g guarded, a guarded[], h holder);
CREATE TABLE indexed (id integer);
CREATE INDEX ON indexed (id) WHERE sneaky();
CREATE VIEW v_over_indexed AS SELECT id FROM indexed;
CREATE TABLE opened (id integer);
CREATE INDEX ON opened (id) WHERE sneaky(id);
CREATE TABLE measured (id integer, t text);
CREATE STATISTICS measures ON id, (plain('x')) FROM measured;
CREATE TABLE constrained (id integer);
CREATE TABLE constrained_1 (CHECK (sneaky() AND id > 0)) INHERITS (constrained);
CREATE TABLE parted (id integer, t text) PARTITION BY RANGE (t evil.ops);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM ('a') TO ('b');
CREATE TABLE ordered (t text);
CREATE INDEX ON ordered (t evil.ops);
CREATE TYPE span AS RANGE (subtype = text, subtype_opclass = evil.ops);
CREATE TABLE ranged (id integer, s span);
CREATE TABLE plainly (id integer, t text, CHECK (plain(t) <> ''));
CREATE INDEX ON plainly (plain(t), lower(t));
INSERT INTO domained VALUES (1, 3, '{3}', ROW (3));
INSERT INTO plainly VALUES (1, 'a');
INSERT INTO parted VALUES (1, 'a');
INSERT INTO ordered VALUES ('a'), ('b');
INSERT INTO ranged VALUES (1, span('a', 'b'));
CREATE TABLE secured (id integer, t text);
ALTER TABLE secured ENABLE ROW LEVEL SECURITY;
CREATE POLICY calls ON secured FOR SELECT USING (poke(t) IS NOT NULL);
CREATE TABLE compared (id integer, t text);
ALTER TABLE compared ENABLE ROW LEVEL SECURITY;
CREATE POLICY calls ON compared USING (t <+> 'x' = 'x');
CREATE TABLE checked_rows (id integer, t text);
ALTER TABLE checked_rows ENABLE ROW LEVEL SECURITY;
CREATE POLICY calls ON checked_rows USING (id::guarded > 0);
CREATE TABLE looked_up (id integer);
ALTER TABLE looked_up ENABLE ROW LEVEL SECURITY;
CREATE POLICY asks ON looked_up USING (id IN (SELECT id FROM secured));
CREATE TABLE looked_up_twice (id integer);
ALTER TABLE looked_up_twice ENABLE ROW LEVEL SECURITY;
CREATE POLICY asks ON looked_up_twice USING (id IN (SELECT id FROM v_calls));
CREATE VIEW v_secured AS SELECT id FROM looked_up;
-- Nothing of these calls a user's function when rows are read.
CREATE TABLE owned (id integer, t text);
ALTER TABLE owned ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON owned
    USING (t = current_user OR t = current_setting('app.tenant', true) OR id > 0);
CREATE POLICY given ON owned FOR INSERT WITH CHECK (poke(t) IS NOT NULL);
CREATE POLICY asked ON owned USING (id IN (SELECT id FROM orders));
CREATE TABLE not_secured (id integer, t text);
CREATE POLICY calls ON not_secured USING (poke(t) IS NOT NULL);
CREATE VIEW v_owned AS SELECT id FROM owned;
-- What only the server's owner should ever see.
CREATE SERVER keeping FOREIGN DATA WRAPPER dblink_fdw
    OPTIONS (host '127.0.0.1', dbname 'canary-of-the-server');
CREATE FOREIGN DATA WRAPPER any_options;
CREATE SERVER fetching FOREIGN DATA WRAPPER any_options;
CREATE FOREIGN TABLE fetched (id integer) SERVER fetching OPTIONS (key 'canary-of-the-table');
CREATE USER MAPPING FOR CURRENT_USER SERVER keeping
    OPTIONS (user 'somebody', password 'canary-of-the-mapping');
DO $$BEGIN
    EXECUTE format('ALTER ROLE %I IN DATABASE %I SET app.password = %L',
                   current_user, current_database(), 'canary-of-the-role');
    EXECUTE format('ALTER ROLE %I SET app.key = %L', current_user, 'canary-of-the-databases');
    EXECUTE format('ALTER DATABASE %I SET dynamic_library_path = %L',
                   current_database(), '$libdir:/canary-of-the-settings');
END$$;
CREATE TABLE defaulted (id integer);
INSERT INTO defaulted VALUES (1);
ALTER TABLE defaulted ADD kept text DEFAULT 'canary-of-the-default';
CREATE VIEW v_roles AS SELECT rolname, rolconfig AS config, concat('', rolconfig) AS loud
    FROM pg_roles;
CREATE MATERIALIZED VIEW m_roles AS SELECT useconfig FROM pg_user;
CREATE VIEW v_over_roles AS SELECT config FROM v_roles;
CREATE VIEW v_missing AS SELECT attname, attmissingval::text AS missing FROM pg_attribute
    WHERE attrelid = 'defaulted'::regclass;
CREATE VIEW v_rows AS SELECT a::text AS a FROM pg_attribute a WHERE atthasmissing;
CREATE VIEW v_servers AS SELECT srvoptions FROM pg_foreign_server;
CREATE VIEW v_settings AS SELECT name, setting FROM pg_settings;
