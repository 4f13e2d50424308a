-- One object of each kind that clients describe. `app` stands for the role that the clients have.

CREATE SCHEMA sales AUTHORIZATION app;
CREATE SCHEMA app AUTHORIZATION app;
SET ROLE app;
CREATE TYPE public.state AS ENUM ('new', 'paid', 'sent');
CREATE TYPE public.place AS (street text, city text);
CREATE DOMAIN public.postcode AS text CHECK (VALUE ~ '^\d{5}$') DEFAULT '00000';
CREATE TYPE public.hours AS RANGE (subtype = numeric);
CREATE SEQUENCE public.numbers START 100 INCREMENT 5;
CREATE TABLE public.people (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL COLLATE "C",
    email text UNIQUE,
    ssn text,
    born date CHECK (born > '1900-01-01'),
    home public.place,
    code public.postcode,
    tags text[] DEFAULT '{}',
    initials text GENERATED ALWAYS AS (left(name, 1)) STORED
);
CREATE TABLE public.orders (
    id bigint DEFAULT nextval('public.numbers') PRIMARY KEY,
    person integer NOT NULL REFERENCES public.people ON DELETE CASCADE,
    total numeric(10, 2) NOT NULL,
    state public.state DEFAULT 'new',
    placed timestamptz DEFAULT now(),
    EXCLUDE USING gist (int4range(person, person + 1) WITH &&) WHERE (total < 0)
);
ALTER SEQUENCE public.numbers OWNED BY public.orders.id;
CREATE INDEX orders_by_person ON public.orders (person, placed DESC) INCLUDE (total) WHERE total > 0;
CREATE INDEX people_lower ON public.people (lower(name));
CREATE TABLE public.events (at date NOT NULL, what text) PARTITION BY RANGE (at);
CREATE TABLE public.events_2025 PARTITION OF public.events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE public.events_rest PARTITION OF public.events DEFAULT;
CREATE TABLE public.employees (salary numeric) INHERITS (public.people);
CREATE TABLE sales.targets (region text, amount numeric, PRIMARY KEY (region));
CREATE TABLE public."Mixed Case" ("The Id" integer, "select" text);
CREATE VIEW public.contacts AS SELECT id, name, email FROM public.people;
CREATE MATERIALIZED VIEW public.totals AS
    SELECT person, sum(total) AS total FROM public.orders GROUP BY person;
CREATE FUNCTION public.add_one(n integer) RETURNS integer LANGUAGE sql IMMUTABLE
    AS 'SELECT n + 1';
CREATE FUNCTION public.touch() RETURNS trigger LANGUAGE plpgsql
    AS 'BEGIN RETURN NEW; END';
CREATE PROCEDURE public.nothing() LANGUAGE sql AS 'SELECT 1';
CREATE AGGREGATE public.my_sum (integer) (sfunc = int4pl, stype = integer, initcond = '0');
CREATE TRIGGER touching BEFORE UPDATE ON public.orders
    FOR EACH ROW EXECUTE FUNCTION public.touch();
CREATE RULE no_delete AS ON DELETE TO public.events_rest DO INSTEAD NOTHING;
CREATE STATISTICS public.of_orders (dependencies) ON person, state FROM public.orders;
CREATE TEXT SEARCH CONFIGURATION public.words (COPY = simple);
CREATE COLLATION public.plain FROM "C";
ALTER TABLE sales.targets ENABLE ROW LEVEL SECURITY;
CREATE POLICY everybody ON sales.targets FOR SELECT USING (true);
GRANT SELECT ON public.people TO PUBLIC;
GRANT SELECT (id, name) ON public.employees TO PUBLIC;
ALTER DEFAULT PRIVILEGES IN SCHEMA sales GRANT SELECT ON TABLES TO PUBLIC;
COMMENT ON TABLE public.people IS 'Who we know';
COMMENT ON COLUMN public.people.ssn IS 'Nobody''s business';
INSERT INTO public.people (name, email, ssn) VALUES
    ('Ada Lovelace', 'ada@example.com', '219-09-9991'), ('Li Wei', NULL, '612-34-7789');
INSERT INTO public.orders (person, total) SELECT 1 + n % 2, n FROM generate_series(1, 5) AS n;
INSERT INTO public.events VALUES ('2025-02-03', 'opened');
INSERT INTO sales.targets VALUES ('north', 10), ('south', 20);
RESET ROLE;
CREATE EXTENSION pg_trgm;
CREATE EXTENSION postgres_fdw;
CREATE SERVER elsewhere FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'example.invalid');
CREATE USER MAPPING FOR app SERVER elsewhere OPTIONS (user 'them', password 'not-a-secret');
CREATE FOREIGN TABLE public.far (id integer) SERVER elsewhere;
GRANT SELECT ON public.far TO app;
CREATE PUBLICATION news FOR TABLE public.orders;
CREATE FUNCTION public.on_ddl() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN NULL; END';
CREATE EVENT TRIGGER watching ON ddl_command_end EXECUTE FUNCTION public.on_ddl();
