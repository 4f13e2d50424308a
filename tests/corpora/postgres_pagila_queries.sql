-- Queries over the database of postgres_pagila.sql: every view of it, what Pagila's own README shows
-- (written anew), and what tutorials on Sakila and Pagila usually ask. A query is what stands after
-- a line `-- name:`.
-- name: actor_info
SELECT * FROM actor_info;
-- name: customer_list
SELECT * FROM customer_list;
-- name: film_list
SELECT * FROM film_list;
-- name: nicer_but_slower_film_list
SELECT * FROM nicer_but_slower_film_list;
-- name: rental_by_category
SELECT * FROM rental_by_category ORDER BY total_sales DESC;
-- name: sales_by_film_category
SELECT * FROM sales_by_film_category;
-- name: sales_by_store
SELECT * FROM sales_by_store;
-- name: staff_list
SELECT * FROM staff_list;
-- name: late rentals
SELECT concat(customer.last_name, ', ', customer.first_name) AS customer, address.phone, film.title
FROM rental
INNER JOIN customer ON rental.customer_id = customer.customer_id
INNER JOIN address ON customer.address_id = address.address_id
INNER JOIN inventory ON rental.inventory_id = inventory.inventory_id
INNER JOIN film ON inventory.film_id = film.film_id
WHERE rental.return_date IS NULL AND rental_date < CURRENT_DATE
ORDER BY title
LIMIT 5;
-- name: overdue by their duration
SELECT title, rental_date + rental_duration * interval '1 day' AS due
FROM rental JOIN inventory USING (inventory_id) JOIN film USING (film_id)
WHERE return_date IS NULL AND rental_date + film.rental_duration * interval '1 day' < CURRENT_DATE;
-- name: full text
SELECT * FROM film WHERE fulltext @@ to_tsquery('fate&india');
-- name: ranked full text
SELECT title, ts_rank(fulltext, q) AS rank, ts_headline('english', description, q) AS shown
FROM film, plainto_tsquery('english', 'epic drama') AS q
WHERE fulltext @@ q ORDER BY rank DESC;
-- name: jsonb operators
SELECT actor_id, first_name, last_name, film_info -> 'Games' AS games
FROM actor_info WHERE film_info -> 'Games' ? 'ACADEMY DINOSAUR';
-- name: json_exists
SELECT actor_id, first_name, last_name FROM actor_info WHERE JSON_EXISTS(film_info, '$.Games');
-- name: json_value and json_query
SELECT actor_id, JSON_VALUE(film_info, '$.Games[0]') AS first_game, JSON_QUERY(film_info, '$.Games') AS games
FROM actor_info WHERE JSON_EXISTS(film_info, '$.Games');
-- name: json_table
SELECT jt.* FROM actor_info,
  JSON_TABLE(film_info, '$.Games[*]' COLUMNS (ord FOR ORDINALITY, game_title text PATH '$')) AS jt
WHERE actor_id = 1;
-- name: json_table with nested paths
WITH doc AS (
  SELECT jsonb_build_object('actor', first_name || ' ' || last_name, 'categories', (
    SELECT jsonb_agg(jsonb_build_object('category', key, 'titles', value)) FROM jsonb_each(film_info)
  )) AS payload
  FROM actor_info WHERE actor_id = 1)
SELECT jt.* FROM doc, JSON_TABLE(payload, '$' COLUMNS (
    actor text PATH '$.actor',
    NESTED PATH '$.categories[*]' COLUMNS (
      category text PATH '$.category', NESTED PATH '$.titles[*]' COLUMNS (title text PATH '$')))) AS jt
ORDER BY category, title;
-- name: json_scalar
SELECT title, JSON_SCALAR(title) AS of_title, JSON_SCALAR(rental_rate) AS of_rate FROM film ORDER BY film_id LIMIT 3;
-- name: json_serialize
SELECT actor_id, JSON_SERIALIZE(film_info::json RETURNING text) AS as_text FROM actor_info WHERE actor_id = 1;
-- name: json
SELECT JSON('{"actor_id": 1, "note": "top renter"}') AS parsed;
-- name: json with unique keys
SELECT JSON('{"a": 1, "b": 2}' WITH UNIQUE KEYS) AS parsed;
-- name: uuid
SELECT customer_id, uuid, uuid_extract_timestamp(uuid) AS created_at FROM customer ORDER BY customer_id LIMIT 3;
-- name: newest by uuid
SELECT customer_id, first_name, last_name FROM customer ORDER BY uuid DESC LIMIT 3;
-- name: generated column
SELECT film_id, title, length, length_hours FROM film ORDER BY film_id LIMIT 3;
-- name: one partition
SELECT count(*), sum(amount) FROM payment_p2022_01;
-- name: partitions of payment
SELECT inhrelid::regclass AS partition FROM pg_inherits WHERE inhparent = 'payment'::regclass ORDER BY 1;
-- name: rows by partition
SELECT tableoid::regclass AS partition, count(*) FROM payment GROUP BY 1 ORDER BY 1;
-- name: actors by last name
SELECT last_name, count(*) AS actors FROM actor GROUP BY last_name HAVING count(*) >= 1 ORDER BY 2 DESC, 1;
-- name: actor names
SELECT upper(concat(first_name, ' ', last_name)) AS "Actor Name" FROM actor WHERE last_name LIKE '%LI%' OR first_name ILIKE 'p%';
-- name: countries
SELECT country_id, country FROM country WHERE country IN ('Afghanistan', 'Bangladesh', 'Canada');
-- name: staff addresses
SELECT s.first_name, s.last_name, a.address FROM staff s LEFT JOIN address a ON s.address_id = a.address_id;
-- name: payments by staff in a month
SELECT s.staff_id, s.first_name, sum(p.amount) AS total
FROM staff s JOIN payment p USING (staff_id)
WHERE p.payment_date >= '2022-01-01' AND p.payment_date < timestamptz '2022-01-01' + interval '1 month'
GROUP BY s.staff_id, s.first_name;
-- name: actors by film
SELECT f.title, count(fa.actor_id) AS actors FROM film f INNER JOIN film_actor fa ON f.film_id = fa.film_id GROUP BY f.title;
-- name: copies of a film
SELECT (SELECT count(*) FROM inventory i WHERE i.film_id = f.film_id) AS copies
FROM film f WHERE f.title = 'ACE GOLDFINGER';
-- name: films that start with K or Q
SELECT title FROM film
WHERE (title LIKE 'K%' OR title LIKE 'Q%')
  AND language_id IN (SELECT language_id FROM language WHERE name = 'English');
-- name: actors in one film
SELECT first_name, last_name FROM actor WHERE actor_id IN (
  SELECT actor_id FROM film_actor WHERE film_id = (SELECT film_id FROM film WHERE title = 'ACADEMY DINOSAUR'));
-- name: addresses for a mailing
SELECT c.first_name, c.last_name, c.email
FROM customer c JOIN address a ON c.address_id = a.address_id JOIN city ci ON a.city_id = ci.city_id
JOIN country co ON ci.country_id = co.country_id WHERE co.country = 'Canada';
-- name: most rented films
SELECT f.title, count(r.rental_id) AS rentals
FROM film f JOIN inventory i ON f.film_id = i.film_id JOIN rental r ON i.inventory_id = r.inventory_id
GROUP BY f.title ORDER BY rentals DESC, f.title;
-- name: revenue by store
SELECT s.store_id, '$' || to_char(sum(p.amount), 'FM999,990.00') AS revenue
FROM store s JOIN staff st USING (store_id) JOIN payment p USING (staff_id) GROUP BY s.store_id;
-- name: top genres
SELECT c.name AS genre, sum(p.amount) AS gross
FROM category c JOIN film_category fc ON c.category_id = fc.category_id
JOIN inventory i ON fc.film_id = i.film_id JOIN rental r ON i.inventory_id = r.inventory_id
JOIN payment p ON r.rental_id = p.rental_id
GROUP BY c.name ORDER BY gross DESC LIMIT 5;
-- name: best customers
SELECT customer_id, first_name || ' ' || last_name AS customer, sum(amount) AS paid,
  rank() OVER (ORDER BY sum(amount) DESC) AS place
FROM payment JOIN customer USING (customer_id)
GROUP BY customer_id, first_name, last_name ORDER BY place FETCH FIRST 10 ROWS ONLY;
-- name: running total
SELECT payment_date, amount, sum(amount) OVER (ORDER BY payment_date, payment_id ROWS UNBOUNDED PRECEDING) AS so_far
FROM payment;
-- name: month over month
WITH monthly AS (
  SELECT date_trunc('month', payment_date) AS month, sum(amount) AS revenue FROM payment GROUP BY 1)
SELECT month, revenue, lag(revenue) OVER w AS before,
  round(100 * (revenue - lag(revenue) OVER w) / nullif(lag(revenue) OVER w, 0), 1) AS change
FROM monthly WINDOW w AS (ORDER BY month);
-- name: latest rental of each customer
SELECT DISTINCT ON (customer_id) customer_id, rental_date, inventory_id
FROM rental ORDER BY customer_id, rental_date DESC;
-- name: latest payment by lateral
SELECT c.customer_id, p.amount, p.payment_date
FROM customer c LEFT JOIN LATERAL (
  SELECT amount, payment_date FROM payment WHERE customer_id = c.customer_id
  ORDER BY payment_date DESC LIMIT 1) p ON true;
-- name: rollup
SELECT rating, extract(year FROM rental_date) AS year, count(*), grouping(rating) AS all_ratings
FROM film JOIN inventory USING (film_id) JOIN rental USING (inventory_id)
GROUP BY ROLLUP (rating, extract(year FROM rental_date));
-- name: grouping sets
SELECT store_id, film_id, count(*) FROM inventory GROUP BY GROUPING SETS ((store_id), (film_id), ());
-- name: median length
SELECT rating, percentile_cont(0.5) WITHIN GROUP (ORDER BY length) AS median, avg(length)::numeric(6,2)
FROM film GROUP BY rating;
-- name: calendar of rentals
SELECT d::date AS day, count(rental_id)
FROM generate_series(timestamptz '2022-01-01', '2022-01-31', interval '1 day') AS d
LEFT JOIN rental ON rental_date >= d AND rental_date < d + interval '1 day'
GROUP BY d ORDER BY d;
-- name: special features
SELECT feature, count(*) FROM film CROSS JOIN unnest(special_features) AS feature GROUP BY feature;
-- name: films with trailers
SELECT title FROM film WHERE 'Trailers' = ANY (special_features) OR special_features @> ARRAY['Commentaries'];
-- name: pivot by filter
SELECT store_id, count(*) FILTER (WHERE film_id = 1) AS academy, count(*) FILTER (WHERE film_id <> 1) AS others
FROM inventory GROUP BY store_id;
-- name: films never rented
SELECT title FROM film f WHERE NOT EXISTS (
  SELECT FROM inventory i JOIN rental r USING (inventory_id) WHERE i.film_id = f.film_id);
-- name: films of one store alone
SELECT film_id FROM inventory WHERE store_id = 1 EXCEPT SELECT film_id FROM inventory WHERE store_id = 2;
-- name: everybody
SELECT first_name, last_name, 'actor' AS who FROM actor UNION ALL
SELECT first_name, last_name, 'customer' FROM customer UNION ALL
SELECT first_name, last_name, 'staff' FROM staff ORDER BY last_name, first_name;
-- name: actors that played together
WITH RECURSIVE linked (actor_id, distance) AS (
  SELECT 1, 0
  UNION
  SELECT b.actor_id, l.distance + 1
  FROM linked l JOIN film_actor a ON a.actor_id = l.actor_id JOIN film_actor b ON b.film_id = a.film_id
  WHERE l.distance < 3)
SELECT actor_id, min(distance) FROM linked GROUP BY actor_id ORDER BY actor_id;
-- name: lengths in bands
SELECT CASE WHEN length < 60 THEN 'short' WHEN length <= 120 THEN 'medium' ELSE 'long' END AS band, count(*)
FROM film GROUP BY 1 ORDER BY 1;
-- name: ratings as an enumeration
SELECT rating, count(*) FROM film WHERE rating IN ('G', 'PG') OR rating > 'PG' GROUP BY rating ORDER BY rating;
-- name: quartiles
SELECT title, replacement_cost, ntile(4) OVER (PARTITION BY rating ORDER BY replacement_cost) FROM film;
-- name: days out
SELECT rental_id, age(return_date, rental_date) AS kept, extract(epoch FROM return_date - rental_date) / 86400 AS days
FROM rental WHERE return_date IS NOT NULL;
-- name: explain
EXPLAIN SELECT * FROM rental WHERE customer_id = 1;
-- name: films in stock
SELECT film_in_stock(2, 2);
-- name: films in stock as rows
SELECT * FROM film_in_stock(1, 1) AS f(inventory_id);
-- name: is it in stock
SELECT inventory_id, inventory_in_stock(inventory_id) FROM inventory;
-- name: balance of a customer
SELECT get_customer_balance(1, now());
-- name: last day of the month
SELECT rental_id, last_day(rental_date) FROM rental;
-- name: actors joined
SELECT film_id, group_concat(first_name) FROM film_actor JOIN actor USING (actor_id) GROUP BY film_id;
-- name: actors joined by string_agg
SELECT f.title, string_agg(a.first_name || ' ' || a.last_name, ', ' ORDER BY a.last_name) AS actors
FROM film f JOIN film_actor USING (film_id) JOIN actor a USING (actor_id) GROUP BY f.film_id, f.title;
