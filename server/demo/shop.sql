-- The sample database of the demo. Who may do what in it is granted by shop.py.

CREATE TABLE customers (
    id integer PRIMARY KEY,
    name text NOT NULL,
    email text NOT NULL UNIQUE,
    phone text NOT NULL,
    ssn char(11) NOT NULL,
    card text NOT NULL,
    birth_date date NOT NULL,
    city text NOT NULL,
    joined_at timestamptz NOT NULL
);
COMMENT ON TABLE customers IS 'People who buy from us, with what we may not show to everybody.';

CREATE TABLE products (
    id integer PRIMARY KEY,
    name text NOT NULL,
    price numeric(8, 2) NOT NULL CHECK (price > 0)
);

CREATE TABLE orders (
    id integer PRIMARY KEY,
    customer_id integer NOT NULL REFERENCES customers,
    placed_at timestamptz NOT NULL,
    status text NOT NULL CHECK (status IN ('new', 'paid', 'shipped', 'returned', 'cancelled')),
    total numeric(10, 2) NOT NULL
);
CREATE INDEX orders_customer ON orders (customer_id);

CREATE TABLE order_items (
    order_id integer NOT NULL REFERENCES orders,
    line integer NOT NULL,
    product_id integer NOT NULL REFERENCES products,
    quantity integer NOT NULL CHECK (quantity > 0),
    unit_price numeric(8, 2) NOT NULL,
    PRIMARY KEY (order_id, line)
);

CREATE TABLE support_notes (
    id integer PRIMARY KEY,
    customer_id integer NOT NULL REFERENCES customers,
    written_at timestamptz NOT NULL,
    author text NOT NULL,
    body text NOT NULL
);
CREATE INDEX support_notes_customer ON support_notes (customer_id);
COMMENT ON COLUMN support_notes.body IS 'Free text. People write anything into it.';

CREATE VIEW customer_contacts AS
SELECT id, name, email, phone, city FROM customers;

CREATE VIEW revenue_by_city AS
SELECT c.city, count(*) AS orders, sum(o.total) AS revenue
FROM customers AS c JOIN orders AS o ON o.customer_id = c.id
WHERE o.status IN ('paid', 'shipped')
GROUP BY c.city;
