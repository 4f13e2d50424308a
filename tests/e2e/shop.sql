CREATE TABLE customers (
    id integer PRIMARY KEY, name text NOT NULL, email text, ssn text, phone text, notes text,
    balance numeric(10, 2) NOT NULL DEFAULT 0
);
INSERT INTO customers VALUES
    (1, 'Ada Lovelace', 'ada.canary@example.com', '219-09-9991', '+1 202 555 0101',
     'write to ada.second@example.com', 10),
    (2, 'Chinua Okafor', 'chinua.canary@example.org', '457-55-5462', '+44 20 7946 0102', NULL, 20),
    (3, 'Li Wei', 'li.canary@example.net', '612-34-7789', '+86 10 5555 0104', 'paid by card', 30);
CREATE VIEW contacts AS SELECT id, name, email AS mail FROM customers;
CREATE TABLE orders (id integer PRIMARY KEY, customer_id integer NOT NULL, total numeric(10, 2),
    status text NOT NULL DEFAULT 'new');
INSERT INTO orders SELECT n, 1 + n % 3, n, 'new' FROM generate_series(1, 300) AS n;
