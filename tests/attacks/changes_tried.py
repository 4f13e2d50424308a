"""A connector on a real server, facts by its own catalog: previews and plans without a gate."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final

import asyncpg

from policies.model import Parameter, SqlPlan, SqlPreview
from policies.sql.catalog import Catalog
from policies.sql.facts import SqlFacts
from policies.sql.postgres import analyse
from recordings.batches import each
from recordings.events import Event, Failed
from server import gate
from server.gate import Grant
from server.previewing import NotTried, Tried
from server.protocols.postgres.connector import PostgresConnector
from tests.fixtures.postgres import SampleDatabase
from tests.server.protocols.grants import catalog, credentials, granted, shop

CALLED: Final = "code of users was called"

# Whoever calls it hears of it, also while planning; the script that makes the tables is quiet.
CODE: Final = f"""
SET {{s}}.quiet = 'on';
CREATE SEQUENCE taken;
CREATE FUNCTION boom(integer) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS $$BEGIN
  IF current_setting('{{s}}.quiet', true) IS DISTINCT FROM 'on' THEN
    RAISE EXCEPTION '{CALLED}' USING ERRCODE = 'P0001';
  END IF; RETURN $1; END$$;
CREATE FUNCTION tenant() RETURNS integer LANGUAGE plpgsql STABLE AS $$BEGIN
  RETURN {{s}}.boom(1); END$$;
"""


@dataclass(slots=True)
class Laboratory:
    """A schema of its own on a shared server, first on the target's search path.

    The connector's roles are no superusers: policies of rows hold for them.
    """

    connector: PostgresConnector
    sample: SampleDatabase
    schema: str
    catalog: Catalog

    async def prepare(self, script: str) -> None:
        """Run a script as the superuser; whatever it makes may be used."""
        connection = await asyncpg.connect(self.sample.dsn)
        try:
            await connection.execute(f"SET search_path = {self.schema}")
            await connection.execute(script.replace("{s}", self.schema))
            for login in (self.sample.reader.user, self.sample.writer.user):
                await connection.execute(
                    f"GRANT USAGE ON SCHEMA {self.schema} TO {login};"
                    f"GRANT ALL ON ALL TABLES IN SCHEMA {self.schema} TO {login}"
                )
        finally:
            await connection.close()

    async def learn(self) -> None:
        """Read the catalog, as the gateway does every few seconds."""
        self.catalog = await self.connector.catalog(catalog())

    async def ask(self, query: str) -> object:
        connection = await asyncpg.connect(self.sample.dsn)
        try:
            await connection.execute(f"SET search_path = {self.schema}")
            return await connection.fetchval(query)
        finally:
            await connection.close()

    def facts(self, text: str) -> SqlFacts:
        facts = analyse(text, self.catalog)
        assert facts.opaque is None, facts.opaque
        return facts

    def judged(self, text: str, *parameters: str) -> Grant:
        """A grant for a preview, by what is known of the target now."""
        bound = tuple(Parameter(p.encode()) for p in parameters)
        return _with(granted(SqlPreview("ap_1", text, bound)), self.facts(text))

    async def tried(self, grant: Grant | str) -> Tried:
        found = self.judged(grant) if isinstance(grant, str) else grant
        return await self.connector.preview(found, ("id", "n"))

    async def not_tried(self, grant: Grant | str) -> str:
        try:
            tried = await self.tried(grant)
        except NotTried as why:
            return str(why)
        raise AssertionError(f"it was tried out: {tried}")

    async def planned(self, text: str) -> list[Event]:
        """The events of a dry run's plan."""
        grant = _with(granted(SqlPlan(text)), self.facts(text))
        async with (
            self.connector.connect(grant) as connection,
            connection.results(grant) as batches,
        ):
            found = [event async for event in each(batches)]
        assert CALLED not in " ".join(e.message for e in found if isinstance(e, Failed))
        return found


def _with(grant: Grant, facts: SqlFacts) -> Grant:
    request = replace(grant.request, facts=facts)
    return Grant(request, grant.decision, gate._ONLY_THE_GATE)


@asynccontextmanager
async def laboratory(sample: SampleDatabase, script: str) -> AsyncIterator[Laboratory]:
    """With these objects in a schema of its own."""
    schema = f"l_{secrets.token_hex(4)}"
    target = shop(sample, search_path=(schema,), connections=2)
    connector = PostgresConnector(target, credentials(sample))
    unread = Catalog("", "", (), {}, {}, frozenset(), frozenset())
    found = Laboratory(connector, sample, schema, unread)
    await found.ask(f"CREATE SCHEMA {schema}")
    try:
        await found.prepare(CODE + script)
        await found.learn()
        yield found
    finally:
        await connector.close()
        await found.ask(f"DROP SCHEMA {schema} CASCADE")
