"""What can be read off labelled values without showing them: by what they are compared with.

A condition that compares a labelled column with constants tells one bit a row. One that compares
it with values of another table tells which of them it is: those rows hold the value in the clear.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from policies.sql.grammar import strings, unwrap
from policies.sql.lineage import CLEAN, Lineage, Scope, Shape, Source, union
from policies.sql.parser import Tree

Reference = tuple[Source, Lineage]

# As many rows as their arguments say: counting those is reading the arguments.
SET_RETURNING: Final = frozenset(
    {
        *("generate_series", "generate_subscripts", "unnest", "aclexplode"),
        *("json_array_elements", "json_array_elements_text", "json_each", "json_each_text"),
        *("jsonb_array_elements", "jsonb_array_elements_text", "jsonb_each", "jsonb_each_text"),
        *("json_object_keys", "jsonb_object_keys", "jsonb_path_query", "json_to_recordset"),
        *("jsonb_to_recordset", "regexp_matches", "regexp_split_to_table", "string_to_table"),
        *("jsonb_path_query_tz", "ts_debug", "ts_parse", "ts_token_type", "pg_options_to_table"),
        *("_pg_expandarray", "pg_snapshot_xip", "txid_snapshot_xip", "pg_get_publication_tables"),
        *("pg_partition_ancestors", "pg_partition_tree", "pg_tablespace_databases"),
        *("pg_extension_update_paths", "pg_stat_get_slru"),
    }
)


def conjuncts_of(node: Tree | None) -> Iterator[Tree]:
    """The parts of a condition that must all hold."""
    kind, body = ("", {}) if node is None else unwrap(node)
    if kind == "BoolExpr" and body["boolop"] == "AND_EXPR":
        for part in body["args"]:
            yield from conjuncts_of(part)
    elif node is not None:
        yield node


def equates_columns(node: Tree) -> bool:
    """Whether a condition is `a.x = b.y`."""
    kind, body = unwrap(node)
    sides = (body.get("lexpr", {}), body.get("rexpr", {}))
    plain = kind == "A_Expr" and body["kind"] == "AEXPR_OP" and strings(body["name"]) == ("=",)
    return plain and all("ColumnRef" in side for side in sides)


def key_lineage(node: Tree, shape: Shape) -> Lineage:
    """What a key carries if it names an output column of its query, or gives its position."""
    match node:
        case {"ColumnRef": {"fields": [{"String": {"sval": str(name)}}]}}:
            return union(output.lineage for output in shape.outputs if output.name == name)
        case {"A_Const": {"ival": {"ival": int(position)}}}:
            chosen = shape.outputs[position - 1 : position]
            return chosen[0].lineage if chosen and position <= shape.certain else shape.lineage
        case _:
            return CLEAN


def compared_labels(
    references: Iterable[Reference], answers: Sequence[Lineage], scope: Scope
) -> frozenset[str]:
    """Labels that one expression compares with other data; `answers` are its subqueries'."""
    near = {source for level in scope.levels() for source in level.items.sources}
    seen = [(source, lineage) for source, lineage in references if source in near]
    labelled = [(source, lineage) for source, lineage in seen if lineage.carried]
    plain = {source for source, lineage in seen if not lineage.carried}
    apart = (lineage for source, lineage in labelled if _meets_others(source, plain))
    mixed = (lineage for _, lineage in labelled if lineage.mixed or lineage.blended)
    answered = (lineage for lineage in answers if plain or lineage.mixed or lineage.blended)
    return _labels((*apart, *mixed, *answered))


def _meets_others(source: Source, plain: set[Source]) -> bool:
    """A table's own row holds both sides anyway; a subquery may have put any two together."""
    together = source.relation is not None or source.paired
    return bool(plain - {source}) or (not together and source in plain)


def _labels(lineages: Iterable[Lineage]) -> frozenset[str]:
    return frozenset(label for lineage in lineages for _, label in lineage.carried)
