"""Policy tests: who runs which statement where, and what must be decided. Runs nothing.

Not in here: reading the YAML with its lines (`server.case_files`), and where facts come from.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, ClassVar, Final, Literal, Protocol, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from policies.gates import AnnotationError, seconds
from policies.model import (
    AccessRequest,
    Action,
    Channel,
    Connect,
    Decision,
    DecisionPoint,
    Effect,
    Principal,
    SqlStatement,
    Target,
)
from policies.sql.facts import SqlFacts

_NOON: Final = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)  # a Monday, for policies that read the time


class _Model(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(
        strict=True, frozen=True, extra="forbid", hide_input_in_errors=True
    )


def _duration(text: str) -> str:
    try:
        seconds(text)
    except AnnotationError as error:
        raise ValueError(str(error)) from None
    return text


def _moment(text: str) -> str:
    try:
        aware = datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        aware = False
    if not aware:
        raise ValueError("write a time with its zone, such as 2026-01-05T12:00:00Z")
    return text


class Who(_Model):
    """The principal: `user` is an id or a name, `agent` the OAuth client."""

    user: str = Field(default="somebody", min_length=1, examples=["rita"])
    groups: tuple[str, ...] = Field(default=(), examples=["[developers]"])
    agent: str = Field(default="agent", examples=["claude-code"])
    email: str | None = None

    @property
    def principal(self) -> Principal:
        identifier = self.user if ":" in self.user else f"case:{self.user}"
        return Principal(identifier, self.user, self.agent, frozenset(self.groups), self.email)


class Expect(_Model):
    """What must be decided; what is left out is not looked at.

    `rules` took part in the decision: permits and gates of what is permitted, forbids of what is
    not. `masked` are the labels that the statement touches and that are masked: exactly these.
    """

    decision: Literal["allow", "approve", "deny"] = Field(examples=["allow"])
    rules: tuple[str, ...] | None = Field(default=None, examples=["[reads-are-bounded]"])
    approvers: tuple[str, ...] | None = Field(default=None, examples=["[dba]"])
    people: int | None = Field(default=None, ge=1, examples=["2"])
    masked: tuple[str, ...] | None = Field(default=None, examples=["[pii]"])
    row_limit: int | None = Field(default=None, ge=1, examples=["1000"])
    timeout: Annotated[str, AfterValidator(_duration)] | None = Field(
        default=None, examples=["15s"]
    )
    code: str | None = Field(default=None, examples=["FORBIDDEN"])
    audited: tuple[str, ...] | None = Field(default=None, examples=["[a-policy-in-audit-mode]"])


class Case(_Model):
    """One test. Without `sql` it is about connecting to the target."""

    name: str = Field(min_length=1, examples=["analysts read masked"])
    who: str | Who = Field(examples=["{user: ann, groups: [analysts]}"])
    target: str = Field(examples=["shop"])
    sql: str | None = Field(default=None, examples=["SELECT 1"])
    channel: Channel = Field(default=Channel.MCP, strict=False, examples=["mcp"])
    reason: str = ""
    at: Annotated[str, AfterValidator(_moment)] | None = Field(
        default=None, examples=["2026-01-05T12:00:00Z"]
    )
    expect: Expect = Field(examples=["{decision: allow}"])


class CaseColumn(_Model):
    type: str = "text"
    label: str | None = None


class CaseCatalog(_Model):
    """Tables by name: {schema.table: {column: type, column: {type: …, label: …}}}."""

    tables: Mapping[str, Mapping[str, str | CaseColumn]] = Field(
        min_length=1, examples=["{public.orders: {id: integer, total: numeric}}"]
    )
    search_path: tuple[str, ...] = ("public",)
    functions: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _tables_have_a_schema(self) -> Self:
        wrong = next((n for n in (*self.tables, *self.functions) if not _NAME.fullmatch(n)), None)
        if wrong is not None:
            raise ValueError(f"write {wrong[:64]!r} with its schema, such as public.orders")
        return self


_NAME: Final = re.compile(r"[^.\s]+\.[^.\s]+")


class CaseTarget(_Model):
    """A target as policies see it; a `catalog` that is a text is a snapshot's file."""

    kind: str = Field(default="postgres", examples=["postgres"])
    environment: str = Field(examples=["production"])
    groups: tuple[str, ...] = ()
    catalog: str | CaseCatalog | None = None


class CaseFile(_Model):
    """One file of cases. `people` name who asks; `catalog` serves targets without one."""

    policies: str | None = Field(default=None, examples=["../policies"])
    catalog: str | CaseCatalog | None = None
    targets: Mapping[str, CaseTarget] = {}
    people: Mapping[str, Who] = {}
    cases: tuple[Case, ...] = Field(min_length=1, examples=["[{name: …, who: …, …}]"])

    @model_validator(mode="after")
    def _everybody_is_known(self) -> Self:
        named = (case.who for case in self.cases if isinstance(case.who, str))
        unknown = next((name for name in named if name not in self.people), None)
        if unknown is not None:
            known = ", ".join(self.people) or "nobody yet"
            raise ValueError(f"`who: {unknown}` is not under `people`, where there is: {known}")
        return self

    def who(self, case: Case) -> Who:
        return self.people[case.who] if isinstance(case.who, str) else case.who


class Surroundings(Protocol):
    """Where cases find their targets, and the facts of statements there."""

    def target(self, name: str) -> Target:
        """Raises ConfigError for a target that nothing describes."""
        ...

    def facts(self, target: str, sql: str) -> SqlFacts: ...


@dataclass(frozen=True, slots=True)
class Difference:
    """One expectation that was not met."""

    about: str
    expected: str
    came: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was decided on a case. It is good where nothing differs."""

    decision: Decision
    facts: SqlFacts | None
    differences: tuple[Difference, ...]

    @property
    def good(self) -> bool:
        return not self.differences


def run(case: Case, who: Who, *, point: DecisionPoint, around: Surroundings) -> Outcome:
    """Decide a case as the gate would: first whether to connect, then the statement."""
    target = around.target(case.target)
    decision, facts = _decide(case, who, Connect(), target, point=point, facts=None), None
    if case.sql is not None and decision.effect is Effect.PERMIT:
        facts = around.facts(case.target, case.sql)
        decision = _decide(case, who, SqlStatement(case.sql), target, point=point, facts=facts)
    differences = tuple(_differences(case.expect, decision, facts))
    return Outcome(decision, facts, differences)


def _decide(
    case: Case,
    who: Who,
    action: Action,
    target: Target,
    *,
    point: DecisionPoint,
    facts: SqlFacts | None,
) -> Decision:
    return point.decide(
        AccessRequest(
            principal=who.principal,
            target=target,
            action=action,
            channel=case.channel,
            now=_NOON if case.at is None else datetime.fromisoformat(case.at),
            session="",
            facts=facts,
            reason=case.reason,
        )
    )


def verdict(decision: Decision) -> str:
    """allow, approve or deny, as cases say it."""
    if decision.effect is not Effect.PERMIT:
        return "deny"
    return "approve" if decision.approvals else "allow"


def determining(decision: Decision) -> tuple[str, ...]:
    """The policies that decided: of a deny the forbids, of a permit its permits and gates."""
    denied = decision.effect is not Effect.PERMIT
    asked = [q for q in decision.questions if not (denied and q.allowed)]
    found = dict.fromkeys(policy for question in asked for policy in question.policies)
    refused_by = decision.refusal.policy if decision.refusal else ""
    return tuple(found) or ((refused_by,) if refused_by else ())


def masked(decision: Decision, facts: SqlFacts | None) -> frozenset[str]:
    """Labels that the statement touches and that are masked in what it returns."""
    return decision.masked_labels & facts.labels_read if facts is not None else frozenset()


def _differences(
    expect: Expect, decision: Decision, facts: SqlFacts | None
) -> Iterator[Difference]:
    said = expect.model_fields_set
    if verdict(decision) != expect.decision:
        yield Difference("decision", expect.decision, verdict(decision))
    missing = set(expect.rules or ()) - set(determining(decision))
    if missing:
        yield Difference("rules", _list(missing), _list(determining(decision)))
    groups = frozenset[str]().union(*(a.groups for a in decision.approvals))
    yield from _sets("approvers", expect.approvers, groups)
    yield from _sets("masked", expect.masked, masked(decision, facts))
    yield from _sets("audited", expect.audited, {audit.policy for audit in decision.audits})
    if expect.people is not None:
        people = max((a.people for a in decision.approvals), default=0)
        yield from _values("people", expect.people, people)
    if "row_limit" in said:
        yield from _values("row_limit", expect.row_limit, decision.row_limit)
    if "timeout" in said:
        wanted = None if expect.timeout is None else seconds(expect.timeout)
        yield from _values("timeout", wanted, decision.time_limit)
    if expect.code is not None:
        code = decision.refusal.code if decision.refusal else None
        yield from _values("code", expect.code, code)


def _sets(
    about: str, expected: tuple[str, ...] | None, came: frozenset[str] | set[str]
) -> Iterator[Difference]:
    if expected is not None and set(expected) != came:
        yield Difference(about, _list(expected), _list(came))


def _values(about: str, expected: object, came: object) -> Iterator[Difference]:
    if expected != came:
        yield Difference(about, _word(expected), _word(came))


def _word(value: object) -> str:
    return "none" if value is None else str(value)


def _list(names: tuple[str, ...] | frozenset[str] | set[str]) -> str:
    return ", ".join(sorted(names)) or "none"
