// What programs on node-postgres send: a pool, a prepared statement, a transaction.

import { createRequire } from "node:module";

const [folder, port, user] = process.argv.slice(2);
const { Pool } = createRequire(`${folder}/`)("pg");
const pool = new Pool({
  host: "127.0.0.1", port: Number(port), user, database: "everything",
  password: process.env.PGPASSWORD, max: 1,
});
await pool.query("SELECT now()");
await pool.query("SELECT id, name FROM people WHERE id = $1", [1]);
const client = await pool.connect();
await client.query({ name: "person", text: "SELECT name FROM people WHERE id = $1", values: [1] });
await client.query("BEGIN");
await client.query("SELECT count(*) FROM orders");
await client.query("COMMIT");
client.release();
await pool.end();
