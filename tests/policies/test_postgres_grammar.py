"""Every class of the grammar: what is not on the allow-list is refused."""

from __future__ import annotations

import pytest
from postgast import pg_query_pb2

from policies.sql.facts import SqlEffect
from policies.sql.grammar import FIELDS, checked
from policies.sql.not_understood import NotUnderstood
from policies.sql.parser import parse_one
from policies.sql.postgres import analyse
from tests.policies.catalogs import catalog
from tests.policies.postgres_grammar import NEVER_PARSED, REFUSED, UNDERSTOOD

# Every node type that libpg_query can put into a tree, with its fields, as it describes itself.
NODES = {
    field.message_type.name: field.message_type for field in pg_query_pb2.Node.DESCRIPTOR.fields
}
STATEMENTS = {name for name in NODES if name.endswith("Stmt")}
# Lists and constants stand in the JSON tree in shapes of their own.
SHAPED_OTHERWISE = {"List", "String", "Integer", "A_Const"}


def kinds(node: object) -> set[str]:
    """The kinds of all nodes in a tree."""
    if isinstance(node, dict):
        return set(node).union(*(kinds(value) for value in node.values()))
    if isinstance(node, list):
        return set().union(*(kinds(item) for item in node))
    return set()


def test_there_is_an_example_of_every_statement_class_of_the_grammar() -> None:
    assert len(STATEMENTS) > 100
    assert UNDERSTOOD.keys() | REFUSED.keys() | NEVER_PARSED == STATEMENTS
    assert not UNDERSTOOD.keys() & REFUSED.keys()


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_a_statement_class_off_the_allow_list_is_refused(name: str) -> None:
    assert name in kinds(parse_one(REFUSED[name].encode()))
    facts = analyse(REFUSED[name], catalog())
    assert facts.effect is SqlEffect.OPAQUE
    assert facts.opaque is not None


@pytest.mark.parametrize("name", sorted(UNDERSTOOD))
def test_a_statement_class_on_the_allow_list_is_understood(name: str) -> None:
    assert name in parse_one(UNDERSTOOD[name].encode())
    assert analyse(UNDERSTOOD[name], catalog()).opaque is None


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_explain_of_what_is_off_the_allow_list_is_refused(name: str) -> None:
    for explain in ("EXPLAIN", "EXPLAIN ANALYZE", "EXPLAIN (ANALYZE off)"):
        assert analyse(f"{explain} {REFUSED[name]}", catalog()).effect is SqlEffect.OPAQUE


@pytest.mark.parametrize("name", sorted(NODES.keys() - FIELDS.keys()))
def test_a_node_off_the_allow_list_is_refused_wherever_it_stands(name: str) -> None:
    with pytest.raises(NotUnderstood):
        checked(name, {})


@pytest.mark.parametrize("name", sorted(FIELDS.keys() - SHAPED_OTHERWISE))
def test_what_the_allow_list_names_is_in_the_grammar(name: str) -> None:
    message = getattr(pg_query_pb2, name)
    assert FIELDS[name] <= {field.json_name for field in message.DESCRIPTOR.fields}


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_a_field_off_the_allow_list_is_refused(name: str) -> None:
    with pytest.raises(NotUnderstood):
        checked(name, {"field_of_a_newer_grammar": True})
