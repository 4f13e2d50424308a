"""A schema with labelled columns in every kind of relation, and rows that differ in those alone."""

from __future__ import annotations

from typing import Final

LABELS: Final = {
    ("public", "users", "ssn"): "pii",
    ("public", "users", "email"): "contact",
    ("public", "visits", "address"): "network",
    ("public", "persons", "ssn"): "pii",
}

SCHEMA: Final = """
CREATE TABLE users (id int PRIMARY KEY, name text, email text, ssn text, dept_id int, tags text[]);
CREATE TABLE departments (id int PRIMARY KEY, name text);
CREATE TABLE orders (id int PRIMARY KEY, user_id int, note text, total numeric);
CREATE VIEW v_users AS SELECT id, name, email AS contact FROM users;
CREATE VIEW v_nested AS SELECT v.id, v.contact AS mail, d.name FROM v_users v JOIN departments d
    ON d.id = v.id;
CREATE VIEW v_part AS SELECT id, left(ssn, 1) || 'x' AS part, name FROM users;
CREATE MATERIALIZED VIEW mv_users AS SELECT id, ssn AS code, name FROM users;
CREATE TABLE visits (id int, address text, name text) PARTITION BY LIST (id);
CREATE TABLE visits_one PARTITION OF visits FOR VALUES IN (1, 2);
CREATE TABLE visits_rest PARTITION OF visits DEFAULT;
CREATE TABLE persons (id int, name text, ssn text);
CREATE TABLE staff (role text) INHERITS (persons);
"""

TABLES: Final = {
    "users": ("id", "name", "email", "ssn", "dept_id", "tags"),
    "departments": ("id", "name"),
    "orders": ("id", "user_id", "note", "total"),
    "v_users": ("id", "name", "contact"),
    "v_nested": ("id", "mail", "name"),
    "v_part": ("id", "part", "name"),
    "mv_users": ("id", "code", "name"),
    "visits": ("id", "address", "name"),
    "visits_one": ("id", "address", "name"),
    "persons": ("id", "name", "ssn"),
    "staff": ("id", "name", "ssn", "role"),
}

# No other value holds a letter of these alphabets: a part of a labelled value is told by any.
CYRILLIC: Final = "абвгдежзиклмнопрстуфхцчшщэюя"
GEORGIAN: Final = "აბგდევზთიკლმნოპჟრსტუფქღყშჩცძწჭ"


def rows(alphabet: str) -> str:
    """The same rows, but for the labelled values, which are of letters of this alphabet."""

    def secret(salt: int, length: int) -> str:
        letters = (alphabet[(salt * 7 + i * (salt + 3)) % len(alphabet)] for i in range(length))
        return "".join(letters)

    # As long as each other: what only tells the length is no flow that this could find.
    length = 5 if alphabet is CYRILLIC else 9
    users = (
        f"({i}, 'n{i}', '{secret(i, length)}', '{secret(i + 20, length)}', {1 + i % 2},"
        f" ARRAY['t{i}', 'x'])"
        for i in range(1, 5)
    )
    visits = (f"({i}, '{secret(i + 40, length)}', 'v{i}')" for i in range(1, 5))
    persons = (f"({i}, 'p{i}', '{secret(i + 60, length)}')" for i in range(1, 3))
    staff = (f"({i}, 's{i}', '{secret(i + 80, length)}', 'r{i}')" for i in range(3, 5))
    return f"""
        INSERT INTO users VALUES {", ".join(users)};
        INSERT INTO departments SELECT i, 'd' || i FROM generate_series(1, 3) i;
        INSERT INTO orders SELECT i, 1 + i % 4, 'note ' || i, i * 10 FROM generate_series(1, 6) i;
        INSERT INTO visits VALUES {", ".join(visits)};
        INSERT INTO persons VALUES {", ".join(persons)};
        INSERT INTO staff VALUES {", ".join(staff)};
        REFRESH MATERIALIZED VIEW mv_users;
    """
