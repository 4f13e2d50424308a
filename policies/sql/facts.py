"""What a statement does, as far as it was understood. What was not understood is opaque."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from policies.sql.copied import CopiedOut


class SqlEffect(StrEnum):
    """The most consequential effect of a statement, weakest first."""

    READ = "read"
    TRANSACTION = "transaction"
    SESSION = "session"
    WRITE = "write"
    DDL = "ddl"
    OPAQUE = "opaque"


# What a relation is on the server, as policies see it.
RELATION_KINDS: Final = frozenset(
    {
        *("table", "partitioned_table", "partition", "view", "materialized_view"),
        *("sequence", "foreign_table", "temporary", "schema"),
    }
)


@dataclass(frozen=True, slots=True, order=True)
class TableName:
    """A relation, resolved against the target's catalog and the pinned search path."""

    schema: str
    name: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True)
class TableUse:
    """One relation in a statement: `verb` is select, insert, update, delete, truncate or ddl.

    `columns` are the columns touched in any position; "*" stands for all of them.
    `labels` are the labels of those columns. `span` is where the statement names the relation.
    `kind` is one of RELATION_KINDS: what the relation is on the server. `through` is the relation
    that the statement names, where this one is only reached by it: a view over this table, one of
    its partitions, the table that it inherits from. `written` are the labelled columns among those
    that get values, each with one of its labels.
    """

    table: TableName
    verb: str
    columns: frozenset[str] = frozenset()
    labels: frozenset[str] = frozenset()
    span: tuple[int, int] | None = None
    kind: str = "table"
    through: str = ""
    written: frozenset[tuple[str, str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Opaque:
    """Why a statement was not understood, where, and what would be."""

    code: str
    reason: str
    next_step: str
    span: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class PathChange:
    """What a statement does to the search path that later ones are judged by.

    `path`: the schemas as they are looked through, or None for those that the session began with.
    `local`: for the rest of the transaction.
    """

    path: tuple[str, ...] | None
    local: bool = False


@dataclass(frozen=True, slots=True)
class Named:
    """A statement about a name that lasts as long as a session, or as its transaction.

    `kind` is prepare, declare, execute, fetch, move, deallocate or close; without a `name` the last
    two drop all. `begins` is the byte at which the statement begins that PREPARE and DECLARE name,
    `rows` how many a FETCH asks for at most, None for all. `text` is the statement that the name
    stands for, once a session has looked it up.
    """

    kind: str
    name: str
    begins: int = 0
    rows: int | None = None
    text: str = ""

    @property
    def makes(self) -> bool:
        """Whether it gives a name to a statement, which does not run yet."""
        return self.kind in ("prepare", "declare")

    @property
    def runs(self) -> bool:
        """Whether the statement runs that has the name."""
        return self.kind in ("execute", "fetch", "move")


@dataclass(frozen=True, slots=True)
class SqlFacts:
    """Facts about one statement. With `opaque` set nothing else may be relied on.

    `kinds`: every statement kind, nested ones too ("select", "update", "explain", "create_table").
    `clean_outputs`: indexes of output columns proven to carry no labelled value.
    `stored_outputs`: output columns that are a labelled column's values as they are stored, each
    with its relation and column (MySQL, whose servers' own word on it is no proof).
    `labels_read`: labels of every column the statement touches in any position.
    `labels_copied`: labels that are read and written elsewhere in the same statement.
    `labels_compared`: labels of values that are compared with other data than constants and
    parameters, or that say how many rows there are: they could be read off the rest of the result.
    `labels_filtered`: labels of values that decide what rows there are, their order or groups,
    other than by `labels_matched`: whole values compared for equality with up to ten constants or
    parameters, or with another labelled column.
    `limit`: the constant that the outermost query's LIMIT or FETCH FIRST says, if it says one.
    `locks`: "for_update", "for_share", ...: locks on rows that the statement asks for by name;
    "access_share": of LOCK TABLE, on whole tables.
    `operators` and `casts`: names as written, without pg_catalog; types that values are cast to.
    `objects`: (relation, oid) of every relation resolved, bound into an approval.
    `catalog`: the version of the catalog that they were found by, for a check when they are used.
    `path_change`: what becomes of the search path, if the statement sets or resets it.
    `savepoint`: the name in SAVEPOINT, RELEASE and ROLLBACK TO.
    `settings_asked`: numbers of parameters whose values are names of settings to be shown.
    `absorbed`: settings of the gateway's own that the statement does nothing but set. It is opaque,
    so that no door forwards it; one that answers it itself, without the target, is the exception
    (`policies.sql.mysql.absorbed`).
    `settings_named`: pg_settings is asked for by written-out names, of settings that are shown.
    `channels`: the channel of LISTEN, UNLISTEN or NOTIFY, as the server folds it.
    `copied`: how COPY sends what it reads to the client, if it does.
    `named`: what is done with a prepared statement or a cursor by its name in SQL.
    """

    effect: SqlEffect
    kinds: frozenset[str] = frozenset()
    tables: tuple[TableUse, ...] = ()
    functions: frozenset[str] = frozenset()
    has_where: bool = True
    labels_read: frozenset[str] = frozenset()
    labels_copied: frozenset[str] = frozenset()
    labels_compared: frozenset[str] = frozenset()
    clean_outputs: frozenset[int] = frozenset()
    objects: tuple[tuple[TableName, int], ...] = ()
    opaque: Opaque | None = None
    limit: int | None = None
    locks: frozenset[str] = frozenset()
    statement_count: int = 1
    operators: frozenset[str] = frozenset()
    casts: frozenset[str] = frozenset()
    labels_filtered: frozenset[str] = frozenset()
    labels_matched: frozenset[str] = frozenset()
    path_change: PathChange | None = None
    savepoint: str = ""
    settings_asked: frozenset[int] = frozenset()
    absorbed: frozenset[str] = frozenset()
    catalog: str = ""
    copied: CopiedOut | None = None
    settings_named: bool = False
    named: Named | None = None
    stored_outputs: tuple[tuple[int, TableName, str], ...] = ()
    channels: frozenset[str] = frozenset()

    def __hash__(self) -> int:
        # Facts are looked up at every call: by what tells statements apart, and is hashed already.
        names = [(use.table.name, use.columns) for use in self.tables]
        return hash((self.effect, self.kinds, self.functions, *names))

    @property
    def read_only(self) -> bool:
        """Proven to change nothing on the server."""
        shows = self.effect is SqlEffect.SESSION and self.kinds == {"show"}
        return self.effect is SqlEffect.READ or shows
