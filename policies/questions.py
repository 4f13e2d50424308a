"""One request -> the questions that Cedar is asked, and the entities that they speak about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final, assert_never

from policies.model import (
    AccessRequest,
    Blockable,
    BlockAgent,
    Connect,
    DecideApproval,
    EndSession,
    ExplainPolicy,
    ListAgents,
    ManageWebhooks,
    Principal,
    ReadCatalog,
    ReadRecording,
    Requested,
    RevokeApproval,
    ScanTarget,
    SqlPlan,
    SqlPrepare,
    SqlPreview,
    SqlStatement,
    Target,
    UnblockAgent,
    WithdrawApproval,
)
from policies.sql.facts import SqlEffect, SqlFacts, TableName, TableUse
from policies.sql.server_secrets import SERVER_SECRET

Entity = Mapping[str, Any]
Uid = Mapping[str, str]

WRITE_MASKED: Final = "sql.write_masked"
ON_CHANNELS: Final = MappingProxyType({"listen": "sql.listen", "notify": "sql.notify"})
"""The kinds of statements that policy is asked about with their channel, and the actions."""

_ONE_GATEWAY: Final = "ostiary"
_TARGET_ACTIONS: Final = {
    SqlEffect.TRANSACTION: "sql.transaction",
    SqlEffect.SESSION: "sql.session",
}


class Unanswerable(ValueError):
    """The request lacks what its questions need; it is a deny."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One question: `subject` says in words what is asked, `use` which part of a statement."""

    action: str
    resource: Uid
    subject: str
    context: Mapping[str, Any] = field(default_factory=dict)
    use: TableUse | None = None

    def document(self, principal: Principal) -> Mapping[str, Any]:
        """The request as cedarpy takes it, without its context."""
        return {
            "principal": _uid("User", principal.id),
            "action": _uid("Action", self.action),
            "resource": self.resource,
        }

    def whole(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """The question's context with that of its request."""
        return {"request": request, **self.context}


def questions(request: AccessRequest) -> tuple[Asked, ...]:
    """All of them must be allowed. Raises Unanswerable."""
    match request.action:
        case Connect():
            return (_on_target(request, "connect"),)
        case SqlStatement() | SqlPrepare() | SqlPlan():
            return tuple(_of_statement(request))
        case SqlPreview():
            return _of_preview(request)
        case DecideApproval() | WithdrawApproval() | RevokeApproval():
            return (_of_ticket(request.action),)
        case ReadRecording(session):
            return (_of_recording(session),)
        case BlockAgent(kind, name) | UnblockAgent(kind, name):
            return (_of_block(kind, name),)
        case EndSession(person):
            return (Asked("session.end", _uid("User", person), f"session.end of {person}"),)
        case ListAgents() | ManageWebhooks():
            name = "agent.list" if isinstance(request.action, ListAgents) else "webhook.manage"
            return (Asked(name, _uid("Gateway", _ONE_GATEWAY), name),)
        case ExplainPolicy(_, principal):
            return (_of_explanation(request, principal),)
        case ScanTarget():
            return (_on_target(request, "target.scan"),)
        case ReadCatalog():
            raise Unanswerable("reading a catalog is no user's action")
        case _:
            assert_never(request.action)


def entities(request: AccessRequest, asked: tuple[Asked, ...]) -> list[Entity]:
    """The principal, the target, and what lies between it and the resources asked about."""
    found = {_key(e): e for e in (_user(request.principal), *_target_entities(request.target))}
    for question in asked:
        for entity in _resource_entities(request, question):
            found.setdefault(_key(entity), entity)
    return list(found.values())


def request_context(request: AccessRequest) -> Mapping[str, Any]:
    """`context.request`, the same for every question of a request."""
    context: dict[str, Any] = {
        "agent": {"__entity": _uid("Agent", request.principal.agent)},
        "channel": request.channel.value,
        "now": {"__extn": {"fn": "datetime", "arg": _instant(request.now)}},
        "session": request.session,
    }
    if request.reason:
        context["reason"] = request.reason
    return context


def sql_facts(request: AccessRequest) -> SqlFacts | None:
    """The facts that a statement is judged by; None for every other action."""
    is_statement = isinstance(request.action, SqlStatement | SqlPrepare | SqlPlan)
    return request.facts if is_statement else None


def _instant(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _on_target(request: AccessRequest, action: str, context: Mapping[str, Any] = {}) -> Asked:
    target = _required(request.target)
    return Asked(action, _uid("Target", target.name), f"{action} on {target.name}", context)


def _of_ticket(action: DecideApproval | WithdrawApproval | RevokeApproval) -> Asked:
    match action:
        case DecideApproval(ticket, approve, requested):
            return _on_ticket("approval.decide", ticket, requested, {"approves": approve})
        case WithdrawApproval(ticket, requested):
            return _on_ticket("approval.withdraw", ticket, requested, {})
        case RevokeApproval(ticket, requested):
            return _on_ticket("approval.revoke", ticket, requested, {})


def _on_ticket(action: str, ticket: str, requested: Requested, more: Mapping[str, Any]) -> Asked:
    approval = {
        "self": requested.own,
        "approved": requested.approved,
        "destroys": requested.destroys,
        "verbs": sorted(requested.verbs),
    }
    context = {"approval": approval, **more}
    return Asked(action, _uid("Ticket", ticket), f"{action} of {ticket}", context)


def _required(target: Target | None) -> Target:
    if target is None:
        raise Unanswerable("the request names no target")
    return target


def _of_statement(request: AccessRequest) -> Iterator[Asked]:
    facts, target = request.facts, _required(request.target)
    if facts is None:
        raise Unanswerable("the request carries no facts about its statement")
    context = {"sql": _sql_context(facts, None)}
    if facts.opaque is not None or facts.effect is SqlEffect.OPAQUE:
        yield _on_target(request, "sql.opaque", context)
        return
    yield _on_target(request, "sql.query", context)
    if facts.effect in _TARGET_ACTIONS:
        yield _on_target(request, _TARGET_ACTIONS[facts.effect], context)
    for kind in facts.kinds & ON_CHANNELS.keys():
        asked = _on_target(request, ON_CHANNELS[kind], context)
        yield replace(asked, subject=f"{asked.subject}, channel {', '.join(facts.channels)}")
    changes = facts.effect in (SqlEffect.WRITE, SqlEffect.DDL)
    if changes and not _names_change(facts) and not facts.channels:
        raise Unanswerable("the statement changes something, and its facts do not say what")
    for use in facts.tables:
        yield _of_table(target, facts, use)


def _of_preview(request: AccessRequest) -> tuple[Asked, ...]:
    """One question for each table that would be changed and rolled back."""
    facts, target = request.facts, _required(request.target)
    if facts is None or facts.opaque is not None or not _names_change(facts):
        raise Unanswerable("only a change that was understood is previewed")
    return tuple(
        replace(asked, action="sql.preview", subject=f"sql.preview of {use.table}")
        for use in facts.tables
        if use.verb != "select"
        for asked in (_of_table(target, facts, use),)
    )


def written_masked(request: AccessRequest, use: TableUse) -> Asked:
    """May the principal write the columns of `use`, which they see masked? Raises Unanswerable."""
    facts, target = request.facts, _required(request.target)
    if facts is None:
        raise Unanswerable("the request carries no facts about its statement")
    columns = ", ".join(sorted(use.columns))
    asked = _of_table(target, facts, use)
    return replace(asked, action=WRITE_MASKED, subject=f"{asked.subject}, column {columns}")


def _names_change(facts: SqlFacts) -> bool:
    return any(use.verb != "select" for use in facts.tables)


def _of_table(target: Target, facts: SqlFacts, use: TableUse) -> Asked:
    action = f"sql.{use.verb}"
    context = {"sql": _sql_context(facts, use)}
    named = use.table.schema if not use.table.name else str(use.table)
    reached = f" (through {use.through})" if use.through else ""
    subject = f"{action} on {target.name} {named}{reached}"
    return Asked(action, _table_uid(target, use.table), subject, context, use)


def _sql_context(facts: SqlFacts, use: TableUse | None) -> Mapping[str, Any]:
    return {
        "kinds": sorted(facts.kinds),
        "functions": sorted(facts.functions),
        "columns": sorted(use.columns) if use else [],
        "labels": _of_columns(use.labels) if use else [],
        "labels_read": _of_columns(facts.labels_read),
        "labels_copied": _of_columns(facts.labels_copied),
        "labels_compared": _of_columns(facts.labels_compared),
        "labels_filtered": _of_columns(facts.labels_filtered),
        "labels_matched": _of_columns(facts.labels_matched),
        "has_where": facts.has_where,
        "read_only": facts.read_only,
        "locks": sorted(facts.locks),
        "operators": sorted(facts.operators),
        "casts": sorted(facts.casts),
        "channels": sorted(facts.channels),
        "statement_count": facts.statement_count,
        **({} if facts.limit is None else {"limit": facts.limit}),
        **({"through": use.through} if use and use.through else {}),
    }


def _of_columns(labels: frozenset[str]) -> list[str]:
    """What policies are about: the server's own secrets are masked whatever they say."""
    return sorted(labels - {SERVER_SECRET})


def _of_recording(session: str | None) -> Asked:
    if session is None:
        return Asked("recording.read", _uid("Gateway", _ONE_GATEWAY), "recording.read")
    return Asked("recording.read", _uid("Recording", session), f"recording.read of {session}")


def _of_block(kind: Blockable, name: str) -> Asked:
    entity = "Agent" if kind is Blockable.AGENT else "User"
    return Asked("agent.block", _uid(entity, name), f"agent.block of {kind.value} {name}")


def _of_explanation(request: AccessRequest, principal: str) -> Asked:
    own = principal in (request.principal.id, request.principal.name)
    identifier = request.principal.id if own else principal
    return Asked("policy.explain", _uid("User", identifier), f"policy.explain for {principal}")


def _uid(kind: str, identifier: str) -> Uid:
    return {"type": kind, "id": identifier}


def _path(*names: str) -> str:
    """Names joined by "/", escaped so that no two paths are alike."""
    return "/".join(name.replace("%", "%25").replace("/", "%2F") for name in names)


def _schema_uid(target: Target, schema: str) -> Uid:
    return _uid("Schema", _path(target.name, schema))


def _table_uid(target: Target, table: TableName) -> Uid:
    if not table.name:
        return _schema_uid(target, table.schema)
    return _uid("Table", _path(target.name, table.schema, table.name))


def _key(entity: Entity) -> tuple[str, str]:
    return entity["uid"]["type"], entity["uid"]["id"]


def _entity(uid: Uid, attributes: Mapping[str, Any], parents: list[Uid]) -> Entity:
    return {"uid": uid, "attrs": attributes, "parents": parents}


def _user(principal: Principal) -> Entity:
    attributes = {"name": principal.name}
    if principal.email is not None:
        attributes["email"] = principal.email
    groups = [_uid("Group", group) for group in sorted(principal.groups)]
    return _entity(_uid("User", principal.id), attributes, groups)


def _target_entities(target: Target | None) -> Iterator[Entity]:
    if target is None:
        return
    groups = [_uid("TargetGroup", group) for group in sorted(target.groups)]
    parents = [_uid("Environment", target.environment), *groups]
    attributes = {"kind": target.kind, "name": target.name}
    yield _entity(_uid("Target", target.name), attributes, parents)


def _resource_entities(request: AccessRequest, question: Asked) -> Iterator[Entity]:
    kind, identifier = question.resource["type"], question.resource["id"]
    if question.use is not None:
        yield from _table_entities(_required(request.target), question.use)
    elif kind == "Recording":
        yield _entity(question.resource, {}, [_uid("Gateway", _ONE_GATEWAY)])
    elif kind == "User":
        yield _entity(question.resource, {"name": identifier}, [])
    elif isinstance(request.action, DecideApproval | WithdrawApproval | RevokeApproval):
        yield from _ticket_entities(request, request.action.requested, question.resource)


def _ticket_entities(request: AccessRequest, requested: Requested, ticket: Uid) -> Iterator[Entity]:
    """A ticket stands in its target, so that `resource in Environment::"production"` holds."""
    target, requester = _uid("Target", _required(request.target).name), requested.requester
    attributes = {
        "requester": {"__entity": _uid("User", requester.id)},
        "agent": {"__entity": _uid("Agent", requester.agent)},
        "target": {"__entity": target},
    }
    yield _entity(ticket, attributes, [target])
    yield _user(requester)


def _table_entities(target: Target, use: TableUse) -> Iterator[Entity]:
    table = use.table
    whole = {"__entity": _uid("Target", target.name)}
    schema = _schema_uid(target, table.schema)
    yield _entity(schema, {"name": table.schema, "target": whole}, [_uid("Target", target.name)])
    if table.name:
        names = {"name": table.name, "schema": table.schema, "kind": use.kind}
        attributes = {**names, "target": whole}
        yield _entity(_table_uid(target, table), attributes, [schema])
