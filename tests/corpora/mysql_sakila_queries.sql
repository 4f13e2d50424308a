-- Queries over Sakila: those behind its seven views, and what tutorials about it ask. Sakila is MySQL's sample
-- database (copyright Oracle and others, New BSD licence, https://dev.mysql.com/doc/sakila/en/).
-- name: view customer_list
SELECT cu.customer_id AS ID, CONCAT(cu.first_name, _utf8mb4' ', cu.last_name) AS name, a.address AS address,
  a.postal_code AS `zip code`, a.phone AS phone, city.city AS city, country.country AS country,
  IF(cu.active, _utf8mb4'active', _utf8mb4'') AS notes, cu.store_id AS SID
FROM customer AS cu JOIN address AS a ON cu.address_id = a.address_id JOIN city ON a.city_id = city.city_id
  JOIN country ON city.country_id = country.country_id;
-- name: view film_list
SELECT film.film_id AS FID, film.title AS title, film.description AS description, category.name AS category,
  film.rental_rate AS price, film.length AS length, film.rating AS rating,
  GROUP_CONCAT(CONCAT(actor.first_name, _utf8mb4' ', actor.last_name) SEPARATOR ', ') AS actors
FROM category LEFT JOIN film_category ON category.category_id = film_category.category_id
  LEFT JOIN film ON film_category.film_id = film.film_id JOIN film_actor ON film.film_id = film_actor.film_id
  JOIN actor ON film_actor.actor_id = actor.actor_id
GROUP BY film.film_id, category.name;
-- name: view nicer_but_slower_film_list
SELECT film.film_id AS FID, film.title AS title, film.description AS description, category.name AS category,
  film.rental_rate AS price, film.length AS length, film.rating AS rating,
  GROUP_CONCAT(CONCAT(CONCAT(UCASE(SUBSTR(actor.first_name, 1, 1)),
    LCASE(SUBSTR(actor.first_name, 2, LENGTH(actor.first_name))), _utf8mb4' ',
    CONCAT(UCASE(SUBSTR(actor.last_name, 1, 1)), LCASE(SUBSTR(actor.last_name, 2, LENGTH(actor.last_name))))))
    SEPARATOR ', ') AS actors
FROM category LEFT JOIN film_category ON category.category_id = film_category.category_id
  LEFT JOIN film ON film_category.film_id = film.film_id JOIN film_actor ON film.film_id = film_actor.film_id
  JOIN actor ON film_actor.actor_id = actor.actor_id
GROUP BY film.film_id, category.name;
-- name: view staff_list
SELECT s.staff_id AS ID, CONCAT(s.first_name, _utf8mb4' ', s.last_name) AS name, a.address AS address,
  a.postal_code AS `zip code`, a.phone AS phone, city.city AS city, country.country AS country, s.store_id AS SID
FROM staff AS s JOIN address AS a ON s.address_id = a.address_id JOIN city ON a.city_id = city.city_id
  JOIN country ON city.country_id = country.country_id;
-- name: view sales_by_store
SELECT CONCAT(c.city, _utf8mb4',', cy.country) AS store,
  CONCAT(m.first_name, _utf8mb4' ', m.last_name) AS manager, SUM(p.amount) AS total_sales
FROM payment AS p INNER JOIN rental AS r ON p.rental_id = r.rental_id
  INNER JOIN inventory AS i ON r.inventory_id = i.inventory_id INNER JOIN store AS s ON i.store_id = s.store_id
  INNER JOIN address AS a ON s.address_id = a.address_id INNER JOIN city AS c ON a.city_id = c.city_id
  INNER JOIN country AS cy ON c.country_id = cy.country_id
  INNER JOIN staff AS m ON s.manager_staff_id = m.staff_id
GROUP BY s.store_id ORDER BY cy.country, c.city;
-- name: view sales_by_film_category
SELECT c.name AS category, SUM(p.amount) AS total_sales
FROM payment AS p INNER JOIN rental AS r ON p.rental_id = r.rental_id
  INNER JOIN inventory AS i ON r.inventory_id = i.inventory_id INNER JOIN film AS f ON i.film_id = f.film_id
  INNER JOIN film_category AS fc ON f.film_id = fc.film_id INNER JOIN category AS c ON fc.category_id = c.category_id
GROUP BY c.name ORDER BY total_sales DESC;
-- name: view actor_info
SELECT a.actor_id, a.first_name, a.last_name,
  GROUP_CONCAT(DISTINCT CONCAT(c.name, ': ',
    (SELECT GROUP_CONCAT(f.title ORDER BY f.title SEPARATOR ', ')
     FROM film f INNER JOIN film_category fc ON f.film_id = fc.film_id
       INNER JOIN film_actor fa ON f.film_id = fa.film_id
     WHERE fc.category_id = c.category_id AND fa.actor_id = a.actor_id))
    ORDER BY c.name SEPARATOR '; ') AS film_info
FROM actor a LEFT JOIN film_actor fa ON a.actor_id = fa.actor_id LEFT JOIN film_category fc ON fa.film_id = fc.film_id
  LEFT JOIN category c ON fc.category_id = c.category_id
GROUP BY a.actor_id, a.first_name, a.last_name;
-- name: overdue rentals (the manual's example)
SELECT CONCAT(customer.last_name, ', ', customer.first_name) AS customer, address.phone, film.title
FROM rental INNER JOIN customer ON rental.customer_id = customer.customer_id
  INNER JOIN address ON customer.address_id = address.address_id
  INNER JOIN inventory ON rental.inventory_id = inventory.inventory_id
  INNER JOIN film ON inventory.film_id = film.film_id
WHERE rental.return_date IS NULL AND rental_date + INTERVAL film.rental_duration DAY < CURRENT_DATE()
ORDER BY title LIMIT 5;
-- name: film in stock
SELECT inventory_id FROM inventory WHERE film_id = 1 AND store_id = 1
  AND NOT EXISTS (SELECT 1 FROM rental WHERE rental.inventory_id = inventory.inventory_id AND return_date IS NULL);
-- name: customer balance
SELECT IFNULL(SUM(film.rental_rate), 0) + IFNULL(SUM(IF((TO_DAYS(rental.return_date) - TO_DAYS(rental.rental_date))
    > film.rental_duration, ((TO_DAYS(rental.return_date) - TO_DAYS(rental.rental_date)) - film.rental_duration), 0)), 0)
  - (SELECT IFNULL(SUM(payment.amount), 0) FROM payment WHERE payment.customer_id = 1) AS balance
FROM film, inventory, rental
WHERE film.film_id = inventory.film_id AND inventory.inventory_id = rental.inventory_id
  AND rental.rental_date <= NOW() AND rental.customer_id = 1;
-- name: best customers of last month
SELECT customer_id, COUNT(*) AS rentals FROM rental
WHERE rental_date BETWEEN DATE_SUB('2005-09-01', INTERVAL 1 MONTH) AND LAST_DAY('2005-08-15')
GROUP BY customer_id HAVING COUNT(*) >= 1 ORDER BY rentals DESC;
-- name: names in capitals
SELECT UPPER(CONCAT(first_name, ' ', last_name)) AS `Actor Name` FROM actor;
-- name: last names with LI
SELECT last_name, first_name FROM actor WHERE last_name LIKE '%LI%' ORDER BY last_name, first_name;
-- name: countries in a list
SELECT country_id, country FROM country WHERE country IN ('Afghanistan', 'Bangladesh', 'China');
-- name: last names and how many have them
SELECT last_name, COUNT(*) AS `Number of Actors` FROM actor GROUP BY last_name HAVING COUNT(*) >= 2;
-- name: staff and their payments in August
SELECT s.first_name, s.last_name, SUM(p.amount) AS total FROM staff s INNER JOIN payment p USING (staff_id)
WHERE p.payment_date LIKE '2005-08%' GROUP BY s.staff_id;
-- name: films and their number of actors
SELECT f.title, COUNT(fa.actor_id) AS actors FROM film f INNER JOIN film_actor fa ON fa.film_id = f.film_id GROUP BY f.title;
-- name: films that begin with K or Q in English
SELECT title FROM film WHERE (title LIKE 'K%' OR title LIKE 'Q%')
  AND language_id = (SELECT language_id FROM language WHERE name = 'English');
-- name: actors of a film
SELECT first_name, last_name FROM actor WHERE actor_id IN (
  SELECT actor_id FROM film_actor WHERE film_id = (SELECT film_id FROM film WHERE title = 'ALPHA OAK'));
-- name: customers of Canada
SELECT first_name, last_name, email FROM customer cu JOIN address a ON (cu.address_id = a.address_id)
  JOIN city cit ON (cit.city_id = a.city_id) JOIN country cntry ON (cntry.country_id = cit.country_id)
WHERE cntry.country = 'Canada';
-- name: family films
SELECT title FROM film f JOIN film_category fcat ON f.film_id = fcat.film_id
  JOIN category c ON c.category_id = fcat.category_id WHERE name = 'family';
-- name: most rented films
SELECT title, COUNT(title) AS rentals FROM film JOIN inventory ON film.film_id = inventory.film_id
  JOIN rental ON inventory.inventory_id = rental.inventory_id GROUP BY title ORDER BY rentals DESC;
-- name: top five genres
SELECT c.name AS Genre, SUM(p.amount) AS `Gross Revenue` FROM category c
  JOIN film_category fc USING (category_id) JOIN inventory i USING (film_id) JOIN rental r USING (inventory_id)
  JOIN payment p USING (rental_id)
GROUP BY c.name ORDER BY SUM(p.amount) DESC LIMIT 5;
-- name: running total of payments
SELECT payment_date, amount, SUM(amount) OVER (ORDER BY payment_date) AS running FROM payment ORDER BY payment_date;
-- name: rank of films by length in each rating
SELECT title, rating, length, RANK() OVER (PARTITION BY rating ORDER BY length DESC) AS place FROM film;
-- name: three-day average
SELECT DATE(payment_date) AS day, SUM(amount) AS revenue,
  AVG(SUM(amount)) OVER (ORDER BY DATE(payment_date) ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) AS average
FROM payment GROUP BY DATE(payment_date);
-- name: payments by month
SELECT DATE_FORMAT(payment_date, '%Y-%m') AS month, COUNT(*) AS payments, ROUND(SUM(amount), 2) AS revenue
FROM payment GROUP BY DATE_FORMAT(payment_date, '%Y-%m') WITH ROLLUP;
-- name: length in words
SELECT title, CASE WHEN length < 60 THEN 'short' WHEN length BETWEEN 60 AND 100 THEN 'medium' ELSE 'long' END AS size
FROM film ORDER BY FIELD(rating, 'G', 'PG', 'R'), title;
-- name: full text
SELECT film_id, title FROM film_text WHERE MATCH (title, description) AGAINST ('tale' IN NATURAL LANGUAGE MODE);
-- name: full text by relevance
SELECT title, MATCH (title, description) AGAINST ('+oak -pine' IN BOOLEAN MODE) AS score FROM film_text ORDER BY score DESC;
-- name: special features
SELECT title, special_features FROM film WHERE FIND_IN_SET('Trailers', special_features) OR special_features IS NULL;
-- name: addresses without a second line
SELECT address, IFNULL(address2, 'none') AS second, COALESCE(NULLIF(postal_code, ''), '?') AS code FROM address;
-- name: active customers of either store
(SELECT first_name, 'one' AS store FROM customer WHERE store_id = 1 AND active) UNION ALL
(SELECT first_name, 'two' FROM customer WHERE store_id = 2 AND active = TRUE) ORDER BY first_name LIMIT 10 OFFSET 0;
-- name: films that nobody rented
SELECT f.film_id, f.title FROM film f LEFT JOIN inventory i ON f.film_id = i.film_id WHERE i.film_id IS NULL;
-- name: pairs of actors who played together
SELECT a.actor_id, b.actor_id, COUNT(*) FROM film_actor a JOIN film_actor b ON a.film_id = b.film_id AND a.actor_id < b.actor_id
GROUP BY a.actor_id, b.actor_id;
-- name: dates by a recursive CTE
WITH RECURSIVE days (day) AS (
  SELECT DATE('2005-05-24') UNION ALL SELECT day + INTERVAL 1 DAY FROM days WHERE day < '2005-05-30')
SELECT days.day, COUNT(r.rental_id) AS rentals FROM days LEFT JOIN rental r ON DATE(r.rental_date) = days.day GROUP BY days.day;
-- name: the film that earned most in each category
WITH earned AS (
  SELECT fc.category_id, i.film_id, SUM(p.amount) AS revenue FROM payment p JOIN rental r ON r.rental_id = p.rental_id
    JOIN inventory i ON i.inventory_id = r.inventory_id JOIN film_category fc ON fc.film_id = i.film_id
  GROUP BY fc.category_id, i.film_id),
placed AS (SELECT earned.*, ROW_NUMBER() OVER (PARTITION BY category_id ORDER BY revenue DESC) AS place FROM earned)
SELECT c.name, f.title, placed.revenue FROM placed JOIN category c ON c.category_id = placed.category_id
  JOIN film f ON f.film_id = placed.film_id WHERE placed.place = 1;
-- name: days out
SELECT rental_id, DATEDIFF(return_date, rental_date) AS days, TIMESTAMPDIFF(HOUR, rental_date, return_date) AS hours
FROM rental WHERE return_date IS NOT NULL;
-- name: from its own views
SELECT country, COUNT(*) FROM customer_list GROUP BY country;
-- name: plan
EXPLAIN SELECT title FROM film WHERE film_id = 1;
-- name: describe
DESCRIBE film;
