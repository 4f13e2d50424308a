-- The database of a DVD rental, after Pagila (Devrim Gündüz, github.com/devrimgunduz/pagila, MIT
-- licence), the PostgreSQL port of MySQL's Sakila: its tables, types, functions, views and partitions
-- under the same names, written anew and shorter. The rows are made up.
CREATE DOMAIN year AS integer CHECK (VALUE >= 1901 AND VALUE <= 2155);
CREATE TYPE mpaa_rating AS ENUM ('G', 'PG', 'PG-13', 'R', 'NC-17');
CREATE FUNCTION _group_concat(text, text) RETURNS text LANGUAGE sql IMMUTABLE
  AS $$ SELECT concat_ws(', ', $1, $2) $$;
CREATE AGGREGATE group_concat(text) (SFUNC = _group_concat, STYPE = text);
CREATE FUNCTION last_day(timestamptz) RETURNS date LANGUAGE sql IMMUTABLE STRICT
  AS $$ SELECT (date_trunc('month', $1) + interval '1 month - 1 day')::date $$;
CREATE TABLE country (country_id serial PRIMARY KEY, country text NOT NULL,
  last_update timestamptz DEFAULT now());
CREATE TABLE city (city_id serial PRIMARY KEY, city text NOT NULL,
  country_id integer NOT NULL REFERENCES country, last_update timestamptz DEFAULT now());
CREATE TABLE address (address_id serial PRIMARY KEY, address text NOT NULL, address2 text,
  district text NOT NULL, city_id integer NOT NULL REFERENCES city, postal_code text,
  phone text NOT NULL, last_update timestamptz DEFAULT now());
CREATE TABLE language (language_id serial PRIMARY KEY, name char(20) NOT NULL,
  last_update timestamptz DEFAULT now());
CREATE TABLE actor (actor_id serial PRIMARY KEY, first_name text NOT NULL, last_name text NOT NULL,
  last_update timestamptz DEFAULT now());
CREATE TABLE category (category_id serial PRIMARY KEY, name text NOT NULL,
  last_update timestamptz DEFAULT now());
CREATE TABLE film (film_id serial PRIMARY KEY, title text NOT NULL, description text,
  release_year year, language_id integer NOT NULL REFERENCES language,
  original_language_id integer REFERENCES language, rental_duration smallint NOT NULL DEFAULT 3,
  rental_rate numeric(4,2) NOT NULL DEFAULT 4.99, length smallint,
  replacement_cost numeric(5,2) NOT NULL DEFAULT 19.99, rating mpaa_rating DEFAULT 'G',
  last_update timestamptz DEFAULT now(), special_features text[], fulltext tsvector NOT NULL,
  length_hours numeric(4,2) GENERATED ALWAYS AS (round(length / 60.0, 2)) STORED);
CREATE TRIGGER film_fulltext_trigger BEFORE INSERT OR UPDATE ON film FOR EACH ROW
  EXECUTE FUNCTION tsvector_update_trigger('fulltext', 'pg_catalog.english', 'title', 'description');
CREATE TABLE film_actor (actor_id integer REFERENCES actor, film_id integer REFERENCES film,
  last_update timestamptz DEFAULT now(), PRIMARY KEY (actor_id, film_id));
CREATE TABLE film_category (film_id integer REFERENCES film, category_id integer REFERENCES category,
  last_update timestamptz DEFAULT now(), PRIMARY KEY (film_id, category_id));
CREATE TABLE store (store_id serial PRIMARY KEY, manager_staff_id integer NOT NULL,
  address_id integer NOT NULL REFERENCES address, last_update timestamptz DEFAULT now());
CREATE TABLE staff (staff_id serial PRIMARY KEY, first_name text NOT NULL, last_name text NOT NULL,
  address_id integer NOT NULL REFERENCES address, email text, store_id integer NOT NULL REFERENCES store,
  active boolean DEFAULT true, username text NOT NULL, password text,
  last_update timestamptz DEFAULT now(), picture bytea);
CREATE TABLE customer (customer_id serial PRIMARY KEY, store_id integer NOT NULL REFERENCES store,
  first_name text NOT NULL, last_name text NOT NULL, email text,
  address_id integer NOT NULL REFERENCES address, activebool boolean NOT NULL DEFAULT true,
  create_date date NOT NULL DEFAULT CURRENT_DATE, last_update timestamptz DEFAULT now(),
  active integer, uuid uuid NOT NULL DEFAULT gen_random_uuid());
CREATE TABLE inventory (inventory_id serial PRIMARY KEY, film_id integer NOT NULL REFERENCES film,
  store_id integer NOT NULL REFERENCES store, last_update timestamptz DEFAULT now());
CREATE TABLE rental (rental_id serial PRIMARY KEY, rental_date timestamptz NOT NULL,
  inventory_id integer NOT NULL REFERENCES inventory, customer_id integer NOT NULL REFERENCES customer,
  return_date timestamptz, staff_id integer NOT NULL REFERENCES staff,
  last_update timestamptz DEFAULT now(), uuid uuid NOT NULL DEFAULT gen_random_uuid());
CREATE TABLE payment (payment_id serial, customer_id integer NOT NULL REFERENCES customer,
  staff_id integer NOT NULL REFERENCES staff, rental_id integer NOT NULL REFERENCES rental,
  amount numeric(5,2) NOT NULL, payment_date timestamptz NOT NULL,
  uuid uuid NOT NULL DEFAULT gen_random_uuid(), PRIMARY KEY (payment_date, payment_id))
  PARTITION BY RANGE (payment_date);
CREATE TABLE payment_p2022_01 PARTITION OF payment
  FOR VALUES FROM ('2022-01-01 00:00+00') TO ('2022-02-01 00:00+00');
CREATE TABLE payment_p2022_02 PARTITION OF payment
  FOR VALUES FROM ('2022-02-01 00:00+00') TO ('2022-03-01 00:00+00');
CREATE FUNCTION last_updated() RETURNS trigger LANGUAGE plpgsql
  AS $$ BEGIN NEW.last_update = CURRENT_TIMESTAMP; RETURN NEW; END $$;
CREATE TRIGGER last_updated BEFORE UPDATE ON customer FOR EACH ROW EXECUTE FUNCTION last_updated();
CREATE FUNCTION inventory_in_stock(p_inventory_id integer) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  RETURN NOT EXISTS (SELECT FROM rental r
                     WHERE r.inventory_id = p_inventory_id AND r.return_date IS NULL);
END $$;
CREATE FUNCTION film_in_stock(p_film_id integer, p_store_id integer, OUT p_film_count integer)
  RETURNS SETOF integer LANGUAGE sql AS $$
  SELECT inventory_id FROM inventory
  WHERE film_id = $1 AND store_id = $2 AND inventory_in_stock(inventory_id) $$;
CREATE FUNCTION get_customer_balance(p_customer_id integer, p_effective_date timestamptz)
  RETURNS numeric LANGUAGE plpgsql AS $$
BEGIN
  RETURN (SELECT coalesce(sum(f.rental_rate), 0) FROM film f JOIN inventory USING (film_id)
          JOIN rental r USING (inventory_id)
          WHERE r.rental_date <= p_effective_date AND r.customer_id = p_customer_id)
       - (SELECT coalesce(sum(p.amount), 0) FROM payment p
          WHERE p.payment_date <= p_effective_date AND p.customer_id = p_customer_id);
END $$;
CREATE VIEW actor_info AS
  SELECT a.actor_id, a.first_name, a.last_name, jsonb_object_agg(c.name, (
    SELECT array_agg(f.title) FROM film f JOIN film_category fc2 ON f.film_id = fc2.film_id
    JOIN film_actor fa2 ON f.film_id = fa2.film_id
    WHERE fc2.category_id = c.category_id AND fa2.actor_id = a.actor_id GROUP BY fa2.actor_id))
    FILTER (WHERE c.name IS NOT NULL) AS film_info
  FROM actor a LEFT JOIN film_actor fa ON a.actor_id = fa.actor_id
  LEFT JOIN film_category fc ON fa.film_id = fc.film_id
  LEFT JOIN category c ON fc.category_id = c.category_id
  GROUP BY a.actor_id, a.first_name, a.last_name;
CREATE VIEW customer_list AS
  SELECT cu.customer_id AS id, cu.first_name || ' ' || cu.last_name AS name, a.address,
    a.postal_code AS "zip code", a.phone, city.city, country.country,
    CASE WHEN cu.activebool THEN 'active' ELSE '' END AS notes, cu.store_id AS sid
  FROM customer cu JOIN address a USING (address_id) JOIN city USING (city_id)
  JOIN country USING (country_id);
CREATE VIEW film_list AS
  SELECT f.film_id AS fid, f.title, f.description, c.name AS category, f.rental_rate AS price, f.length,
    f.rating, group_concat(a.first_name || ' ' || a.last_name) AS actors
  FROM category c LEFT JOIN film_category USING (category_id) LEFT JOIN film f USING (film_id)
  JOIN film_actor USING (film_id) JOIN actor a USING (actor_id)
  GROUP BY f.film_id, f.title, f.description, c.name, f.rental_rate, f.length, f.rating;
CREATE VIEW nicer_but_slower_film_list AS
  SELECT f.film_id AS fid, f.title, f.description, c.name AS category, f.rental_rate AS price, f.length,
    f.rating, group_concat(upper(substring(a.first_name, 1, 1)) || lower(substring(a.first_name, 2))
      || upper(substring(a.last_name, 1, 1)) || lower(substring(a.last_name, 2))) AS actors
  FROM category c LEFT JOIN film_category USING (category_id) LEFT JOIN film f USING (film_id)
  JOIN film_actor USING (film_id) JOIN actor a USING (actor_id)
  GROUP BY f.film_id, f.title, f.description, c.name, f.rental_rate, f.length, f.rating;
CREATE VIEW sales_by_film_category AS
  SELECT c.name AS category, sum(p.amount) AS total_sales
  FROM payment p JOIN rental r USING (rental_id) JOIN inventory i USING (inventory_id)
  JOIN film_category fc USING (film_id) JOIN category c USING (category_id)
  GROUP BY c.name ORDER BY sum(p.amount) DESC;
CREATE MATERIALIZED VIEW rental_by_category AS SELECT category, total_sales FROM sales_by_film_category;
CREATE VIEW sales_by_store AS
  SELECT ci.city || ',' || co.country AS store, m.first_name || ' ' || m.last_name AS manager,
    sum(p.amount) AS total_sales
  FROM payment p JOIN rental r USING (rental_id) JOIN inventory i USING (inventory_id)
  JOIN store s USING (store_id) JOIN address a ON s.address_id = a.address_id
  JOIN city ci USING (city_id) JOIN country co USING (country_id)
  JOIN staff m ON s.manager_staff_id = m.staff_id
  GROUP BY co.country, ci.city, s.store_id, m.first_name, m.last_name ORDER BY co.country, ci.city;
CREATE VIEW staff_list AS
  SELECT s.staff_id AS id, s.first_name || ' ' || s.last_name AS name, a.address,
    a.postal_code AS "zip code", a.phone, city.city, country.country, s.store_id AS sid
  FROM staff s JOIN address a USING (address_id) JOIN city USING (city_id) JOIN country USING (country_id);
INSERT INTO country (country) VALUES ('Canada'), ('Australia');
INSERT INTO city (city, country_id) VALUES ('Lethbridge', 1), ('Woodridge', 2);
INSERT INTO address (address, district, city_id, postal_code, phone)
  VALUES ('47 Street', 'Alberta', 1, '1', '0001'), ('28 Street', 'QLD', 2, '2', '0002');
INSERT INTO language (name) VALUES ('English');
INSERT INTO actor (first_name, last_name) VALUES ('PENELOPE', 'GUINESS'), ('NICK', 'WAHLBERG');
INSERT INTO category (name) VALUES ('Games'), ('Drama');
INSERT INTO film (title, description, release_year, language_id, length, special_features, rating)
  VALUES ('ACADEMY DINOSAUR', 'An Epic Drama', 2022, 1, 86, '{Trailers}', 'PG'),
         ('ACE GOLDFINGER', 'A Fateful Display in India', 2023, 1, 48, '{Trailers,Commentaries}', 'G');
INSERT INTO film_actor VALUES (1, 1), (2, 2), (1, 2);
INSERT INTO film_category VALUES (1, 1), (2, 2);
INSERT INTO store (manager_staff_id, address_id) VALUES (1, 1), (2, 2);
INSERT INTO staff (first_name, last_name, address_id, email, store_id, username, password)
  VALUES ('Mike', 'Hillyer', 1, 'mike@example.com', 1, 'mike', 'secret'),
         ('Jon', 'Stephens', 2, 'jon@example.com', 2, 'jon', 'secret');
INSERT INTO customer (store_id, first_name, last_name, email, address_id)
  VALUES (1, 'MARY', 'SMITH', 'mary@example.com', 1), (2, 'PATRICIA', 'JOHNSON', 'pat@example.com', 2);
INSERT INTO inventory (film_id, store_id) VALUES (1, 1), (2, 2), (2, 1);
INSERT INTO rental (rental_date, inventory_id, customer_id, return_date, staff_id)
  VALUES ('2022-01-05', 1, 1, '2022-01-09', 1), ('2022-02-05', 2, 2, NULL, 2);
INSERT INTO payment (customer_id, staff_id, rental_id, amount, payment_date)
  VALUES (1, 1, 1, 2.99, '2022-01-10'), (2, 2, 2, 4.99, '2022-02-06');
REFRESH MATERIALIZED VIEW rental_by_category;
