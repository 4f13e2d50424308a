"""run_sql: one statement on one target, and its rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import FailFast, Field, JsonValue

from policies.model import Channel, Parameter, SqlStatement
from policies.places import place_at
from recordings.events import Columns, Done, Event, Failed, Native, Pending, Rows
from tools.cells import type_name
from tools.cursor import Cursors, Scope
from tools.dry_run import dry_run_document, dry_run_text
from tools.escaping import fenced, visible
from tools.gateway import DryRunView, Gateway
from tools.table import Table
from tools.tool import (
    Answer,
    Arguments,
    Call,
    Hints,
    Inquiry,
    Outcome,
    Output,
    Performance,
    Problem,
    Tool,
    parse,
)

MAX_ROWS: Final = 1000
MAX_PARAMS: Final = 65535
"""A Bind message counts them in 16 bits (PostgreSQL, Frontend/Backend Protocol)."""

Scalar = str | int | float | bool | None


class RunSqlArguments(Arguments):
    judged: ClassVar[frozenset[str]] = frozenset({"sql"})

    target: Annotated[str, Field(description="Name from list_targets, e.g. shop")]
    sql: Annotated[
        str, Field(description="One statement, e.g. SELECT id FROM orders WHERE total > $1")
    ]
    params: Annotated[
        list[Scalar],
        FailFast(),
        Field(max_length=MAX_PARAMS, description="Values of $1, $2, e.g. [100]"),
    ] = []
    max_rows: Annotated[
        int, Field(ge=1, le=MAX_ROWS, description="Rows to return at most, e.g. 20")
    ] = 100
    cursor: Annotated[
        str, Field(description="next_cursor of the same read, e.g. AAAA, for its next rows")
    ] = ""
    reason: Annotated[
        str, Field(max_length=500, description="Why, for approvers, e.g. ticket 4711")
    ] = ""
    dry_run: Annotated[
        bool, Field(description="e.g. true: run nothing; tell policy's verdict and the plan")
    ] = False


class SqlColumn(Output):
    name: str
    type: str
    masked: bool


class RunSqlOutput(Output):
    status: Literal["ok"] = "ok"
    columns: list[SqlColumn]
    rows: list[list[JsonValue]]
    row_count: int
    command: str
    truncated: bool
    next_cursor: str | None
    masked_columns: dict[str, str]
    duration_ms: int
    session: str
    dry_run: dict[str, Any] | None = None


def action(arguments: RunSqlArguments, call: Call) -> SqlStatement:
    """The exact statement, after as many rows as the cursor says. Raises `Denied`."""
    parameters = tuple(map(_parameter, arguments.params))
    scope = Scope(call.principal, arguments.target, arguments.sql, parameters)
    token = arguments.cursor
    skip = call.cursors.open(token, scope, now=call.now) if token else 0
    return SqlStatement(arguments.sql, parameters, skip=skip, max_rows=arguments.max_rows)


def _parameter(value: Scalar) -> Parameter:
    match value:
        case None:
            return Parameter(None)
        case bool():
            return Parameter(b"true" if value else b"false", scalar="boolean")
        case str():
            return Parameter(value.encode())
        case int():
            return Parameter(repr(value).encode(), scalar="integer")
        case float():
            return Parameter(repr(value).encode(), scalar="float")


@dataclass(slots=True)
class SqlRendering:
    """Collects one statement's events. `scope` and `skip` are for the cursor."""

    scope: Scope
    skip: int
    cursors: Cursors
    now: float
    table: Table = field(default_factory=Table)
    end: Done | Failed | None = None

    def add(self, event: Event) -> None:
        match event:
            case Columns(columns):
                self.table = Table(columns)
            case Rows():
                self.table.add(event)
            case Done() | Failed():
                self.end = event
            case Native() | Pending():
                pass  # no part of a result

    def answer(self, outcome: Outcome) -> Answer | Problem:
        match self.end:
            case Done() as done:
                output = self._output(done, outcome)
                return Answer(self._text(output, outcome), output)
            case Failed() as failed:
                return _sql_error(failed, outcome, self.scope.sql)
            case None:
                return _cut_off(outcome)

    def _output(self, done: Done, outcome: Outcome) -> RunSqlOutput:
        table = self.table
        more = done.more or table.full
        return RunSqlOutput.model_validate(
            {
                "columns": [
                    {"name": c.name, "type": type_name(c), "masked": bool(c.masked)}
                    for c in table.columns
                ],
                "rows": table.rows,
                "row_count": len(table.rows),
                "command": done.tag,
                "truncated": more or table.shortened,
                "next_cursor": self._cursor(outcome) if more else None,
                "masked_columns": {c.name: c.masked for c in table.columns if c.masked},
                "duration_ms": outcome.duration_ms,
                "session": outcome.session,
            }
        )

    def _cursor(self, outcome: Outcome) -> str | None:
        if outcome.writes or not self.table.rows:
            return None  # it would run again, or never move on
        skip = self.skip + len(self.table.rows)
        return self.cursors.seal(self.scope, skip=skip, now=self.now)

    def _text(self, output: RunSqlOutput, outcome: Outcome) -> str:
        head = f"{visible(output.command)}; {output.row_count} rows; session {outcome.session}"
        if not output.columns:
            return head
        return "\n".join([head, *_notes(output, self.table), fenced(self.table.text())])


def _notes(output: RunSqlOutput, table: Table) -> list[str]:
    notes = []
    if output.next_cursor is not None:
        notes.append(f'More rows: repeat the call with cursor="{output.next_cursor}".')
    elif output.truncated and not table.shortened:
        notes.append(
            "More rows were left out, and no cursor goes on: do not repeat the call for them."
        )
    if table.shortened:
        notes.append("Long cells were shortened: select parts of them, e.g. with substr().")
    return notes


def _sql_error(failed: Failed, outcome: Outcome, text: str) -> Problem:
    document: dict[str, JsonValue] = {
        "code": "SQL_ERROR",
        "sqlstate": failed.sqlstate,
        "reason": failed.message,
        "position": failed.position or None,
        "session": outcome.session,
        "next_step": "Correct the statement and call again.",
    }
    if 0 < failed.position <= len(text):
        place = place_at(text, failed.position - 1)
        document |= {"at": str(place), "excerpt": place.excerpt or None}
    return Problem(document)


def _cut_off(outcome: Outcome) -> Problem:
    return Problem(
        {
            "code": "OUTCOME_UNKNOWN",
            "reason": "The target's answer broke off.",
            "session": outcome.session,
            "next_step": "Look at the target's state before you repeat a statement that writes.",
        }
    )


def prepare(raw: Mapping[str, JsonValue], call: Call) -> Performance | Inquiry:
    arguments = parse(RunSqlArguments, raw)
    if arguments.dry_run:
        return _dry_run(arguments, call)
    statement = action(arguments, call)
    scope = Scope(call.principal, arguments.target, arguments.sql, statement.parameters)
    rendering = SqlRendering(scope, statement.skip, call.cursors, call.now)
    return Performance(arguments.target, statement, arguments.reason, rendering)


def _dry_run(arguments: RunSqlArguments, call: Call) -> Inquiry:
    parameters = tuple(map(_parameter, arguments.params))
    statement = SqlStatement(arguments.sql, parameters, max_rows=arguments.max_rows)

    async def answer(gateway: Gateway) -> Answer:
        view = await gateway.dry_run(
            call.principal,
            arguments.target,
            statement,
            channel=Channel.MCP,
            reason=arguments.reason,
        )
        return Answer(dry_run_text(view), _nothing_ran(view))

    return Inquiry(answer)


def _nothing_ran(view: DryRunView) -> RunSqlOutput:
    return RunSqlOutput(
        columns=[],
        rows=[],
        row_count=0,
        command="DRY RUN",
        truncated=False,
        next_cursor=None,
        masked_columns={},
        duration_ms=0,
        session=view.session,
        dry_run=dry_run_document(view),
    )


RUN_SQL: Final = Tool(
    name="run_sql",
    title="Run SQL",
    description=(
        "Run one SQL statement on a database target; columns may come back masked."
        f" At most {MAX_ROWS} rows and 24 KiB a call: truncated tells of more, next_cursor goes on"
        " (use ORDER BY). Some statements wait for a person's approval: then call approval_wait"
        " and repeat the exact call."
    ),
    arguments=RunSqlArguments,
    output=RunSqlOutput,
    hints=Hints(read_only=False, destructive=True, idempotent=False, open_world=False),
    prepare=prepare,
)
