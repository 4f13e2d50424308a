"""Catalogs on their way to the workers: complete, once, and not for ever."""

from __future__ import annotations

import asyncio
import marshal
from dataclasses import fields, replace

import pytest

from policies.sql import postgres
from policies.sql.catalog import Catalog, Column, Relation
from policies.sql.facts import TableName
from server.parsing import names
from server.parsing.names import Shipped, Shipping
from server.parsing.worker import Catalogs
from tests.policies.catalogs import catalog

pytestmark = pytest.mark.anyio


def arrived(shipped: Shipped) -> Catalog:
    """The catalog as a worker has it."""
    known = Catalogs()
    known.learn(shipped.names.number, shipped.names.blob)
    return known.catalog(shipped.names.number, shipped.around)


def large(tables: int) -> Catalog:
    columns = tuple(Column(f"c{n}", n, "integer", frozenset({"pii"})) for n in range(20))
    made = (Relation(TableName("s", f"t{n}"), n + 1, "r", columns) for n in range(tables))
    relations = {relation.name: relation for relation in made}
    by_oid = {relation.oid: relation for relation in relations.values()}
    return replace(catalog(), relations=relations, by_oid=by_oid)


async def test_everything_in_a_catalog_arrives() -> None:
    found = arrived(await Shipping().ready(catalog()))
    for field in fields(Catalog):
        here, there = getattr(catalog(), field.name), getattr(found, field.name)
        if field.name in ("relations", "by_oid"):
            assert {key: there[key] for key in there} == here
            assert len(there) == len(here)
        else:
            assert there == here


async def test_a_relation_that_is_not_there_is_not_found() -> None:
    found = arrived(await Shipping().ready(catalog()))
    nowhere = TableName("nowhere", "nothing")
    assert nowhere not in found.relations
    assert found.relations.get(nowhere) is None
    assert found.by_oid.get(1) is None
    assert found.resolve(None, "users") == catalog().resolve(None, "users")


async def test_another_search_path_costs_no_names() -> None:
    shipping = Shipping()
    one = await shipping.ready(catalog())
    other = await shipping.ready(replace(catalog(), search_path=("hr",)))
    assert other.names is one.names
    assert other.key != one.key
    assert arrived(other).search_path == ("hr",)
    again = await shipping.ready(replace(catalog(), search_path=("hr",)))
    assert again.key == other.key


async def test_other_names_are_another_catalog_whatever_the_version_says() -> None:
    shipping = Shipping()
    one = await shipping.ready(catalog())
    other = await shipping.ready(replace(catalog(), relations=dict(catalog().relations)))
    assert other.key != one.key
    assert marshal.loads(one.around)["version"] == marshal.loads(other.around)["version"]


async def test_the_event_loop_turns_while_a_large_catalog_is_written() -> None:
    shipping, turns = Shipping(), 0
    writing = asyncio.create_task(shipping.ready(large(2_000)))
    while not writing.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 20


async def test_a_statement_on_a_large_catalog_is_answered_by_the_tables_it_names() -> None:
    found = arrived(await Shipping().ready(large(5_000)))
    facts = postgres.analyse("SELECT c1 FROM s.t4999", found)
    assert facts.opaque is None
    assert facts.labels_read == {"pii"}


async def test_names_that_nobody_asks_about_any_more_are_let_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(names, "KEPT", 0.0)
    shipping = Shipping()
    old, new = large(1), large(1)
    await shipping.ready(old)
    await shipping.ready(new)
    assert shipping.known(old) is None
    assert shipping.known(new) is not None


async def test_of_too_many_names_the_newest_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "KEPT_BYTES", 1)
    shipping = Shipping()
    old, new = large(1), large(1)
    await shipping.ready(old)
    await shipping.ready(new)
    assert shipping.known(old) is None
    assert shipping.known(new) is not None
