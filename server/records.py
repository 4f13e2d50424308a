"""Gate events -> journal records: what was asked, decided, sent and delivered, as documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import lru_cache

from policies.errors import Refusal
from policies.model import (
    AccessRequest,
    Action,
    Audit,
    BlockAgent,
    Connect,
    DecideApproval,
    Decision,
    EndSession,
    ExplainPolicy,
    LimitRows,
    LimitTime,
    ListAgents,
    ManageWebhooks,
    MaskLabels,
    Obligation,
    Parameter,
    Principal,
    ReadCatalog,
    ReadRecording,
    RequireApproval,
    RevokeApproval,
    ScanTarget,
    SqlPlan,
    SqlPrepare,
    SqlPreview,
    SqlStatement,
    UnblockAgent,
    WithdrawApproval,
)
from policies.sql.facts import SqlFacts
from recordings.chain import Json, written
from recordings.journal import Record
from server.recorded_input import Kept, kept, kept_text


def principal_document(principal: Principal) -> dict[str, Json]:
    return {
        "id": principal.id,
        "name": principal.name,
        "agent": principal.agent,
        "groups": sorted(principal.groups),
    }


def opened(request: AccessRequest, decision: Decision, *, best_effort: bool) -> Record:
    """A caller is let in to one target: the intent of its `Connect`, and who is behind it."""
    target = request.target
    recording: dict[str, Json] = {"recording": "best_effort"} if best_effort else {}
    return Record(
        request.session,
        "session_opened",
        {
            "principal": principal_document(request.principal),
            "target": target.name if target else "",
            "protocol": target.kind if target else "",
            "channel": request.channel.value,
            "reason": kept_text(request.reason),
            "action": action_document(request.action),
            "effect": decision.effect.value,
            "policy_version": decision.policy_version,
            "questions": _questions(decision),
            **recording,
            **_audits(decision),
        },
    )


def closed(session: str, *, end: str) -> Record:
    return Record(session, "session_closed", {"end": end})


def decided(request: AccessRequest, decision: Decision, *, ticket: str = "") -> Record:
    """A request that does not run now: refused, or waiting for a person."""
    shown = kept(request.action)
    return Record(
        request.session,
        "decision",
        {
            **_request_document(request, shown),
            "effect": "pending" if ticket else decision.effect.value,
            "policy_version": decision.policy_version,
            "questions": _questions(decision),
            "refusal": refusal_document(decision.refusal) if decision.refusal else None,
            **_audits(decision),
            "ticket": ticket,
        },
        _body(shown.action),
    )


def intent(
    request: AccessRequest, decision: Decision, *, ticket: str = "", ordinal: int = 0
) -> Record:
    """A request that is about to be sent; committed before the target sees a byte of it."""
    shown = kept(request.action)
    return Record(
        request.session,
        "intent",
        {
            **_request_document(request, shown),
            "ordinal": ordinal,
            "effect": decision.effect.value,
            "policy_version": decision.policy_version,
            "questions": _questions(decision),
            "obligations": [obligation_document(o) for o in decision.obligations],
            **_audits(decision),
            "ticket": ticket,
        },
        _body(shown.action),
    )


def refused_call(principal: Principal, tool: str, refusal: Refusal, *, session: str = "") -> Record:
    """A call of a tool, or a message, that never became an action."""
    document: dict[str, Json] = {
        "principal": principal.id,
        "agent": principal.agent,
        "tool": tool,
        "effect": "deny",
        "refusal": refusal_document(refusal),
    }
    return Record(session, "decision", document)


def refusal_document(refusal: Refusal) -> dict[str, Json]:
    return {
        "code": refusal.code,
        "policy": refusal.policy,
        "reason": refusal.reason,
        "subject": refusal.subject,
        "next_step": refusal.next_step,
        "span": list(refusal.span) if refusal.span else None,
        **({"would_pass": list(refusal.would_pass)} if refusal.would_pass else {}),
    }


def obligation_document(obligation: Obligation) -> dict[str, Json]:
    """An obligation with the policy that asks for it."""
    match obligation:
        case RequireApproval(policy, groups, sentence, self_confirmation, people):
            return {
                "kind": "approval",
                "policy": policy,
                "groups": sorted(groups),
                "sentence": sentence,
                "self_confirmation": self_confirmation,
                "people": people,
            }
        case MaskLabels(labels, policy):
            return {"kind": "mask", "policy": policy, "labels": sorted(labels)}
        case LimitRows(count, policy):
            return {"kind": "row_limit", "policy": policy, "count": count}
        case LimitTime(seconds, policy):
            return {"kind": "timeout", "policy": policy, "seconds": seconds}


def audit_document(audit: Audit) -> dict[str, Json]:
    """What a policy in audit mode would have done: refuse, oblige, or nothing that is known."""
    would = "oblige" if audit.obligations else "refuse"
    return {
        "policy": audit.policy,
        "would": "unknown" if audit.failed else would,
        "obligations": [obligation_document(o) for o in audit.obligations],
    }


def facts_document(facts: SqlFacts | None) -> dict[str, Json] | None:
    """What policy saw of a statement, for the recording and for approvers."""
    if facts is None:
        return None
    return {
        "effect": facts.effect.value,
        "kinds": sorted(facts.kinds),
        "tables": [
            {
                "table": str(use.table),
                "verb": use.verb,
                "columns": sorted(use.columns),
                "labels": sorted(use.labels),
                "kind": use.kind,
                **({"through": use.through} if use.through else {}),
                **({"written": sorted(map(list, use.written))} if use.written else {}),
            }
            for use in facts.tables
        ],
        "functions": sorted(facts.functions),
        "has_where": facts.has_where,
        "labels_read": sorted(facts.labels_read),
        "labels_copied": sorted(facts.labels_copied),
        "labels_compared": sorted(facts.labels_compared),
        "labels_filtered": sorted(facts.labels_filtered),
        "labels_matched": sorted(facts.labels_matched),
        "limit": facts.limit,
        "locks": sorted(facts.locks),
        "operators": sorted(facts.operators),
        "casts": sorted(facts.casts),
        **({"channels": sorted(facts.channels)} if facts.channels else {}),
        "statement_count": facts.statement_count,
        "opaque": facts.opaque.code if facts.opaque else None,
        **_named(facts),
    }


def _named(facts: SqlFacts) -> dict[str, Json]:
    """The name in SQL: what it stands for was recorded when the session made it."""
    named = facts.named
    return {"named": {"kind": named.kind, "name": named.name}} if named else {}


def action_document(action: Action) -> dict[str, Json]:
    """The exact action, statement and parameters included, as approvals bind it."""
    match action:
        case SqlStatement(text, parameters) | SqlPlan(text, parameters):
            return {
                "kind": type(action).__name__,
                "text": text,
                "parameters": [parameter_document(p) for p in parameters],
                **_declared_types(parameters),
            }
        case SqlPrepare(text):
            return {"kind": "SqlPrepare", "text": text}
        case SqlPreview(ticket, text, parameters):
            return {
                "kind": "SqlPreview",
                "ticket": ticket,
                "text": text,
                "parameters": [parameter_document(p) for p in parameters],
                **_declared_types(parameters),
            }
        case Connect() | ReadCatalog() | ListAgents():
            return {"kind": type(action).__name__}
        case ScanTarget(tables, columns, rows):
            named: list[Json] = [str(table) for table in tables]
            return {"kind": "ScanTarget", "tables": named, "columns": [*columns], "rows": rows}
        case DecideApproval(ticket, approve, _, comment):
            return {
                "kind": "DecideApproval",
                "ticket": ticket,
                "approve": approve,
                "comment": comment,
            }
        case WithdrawApproval(ticket, _, comment) | RevokeApproval(ticket, _, comment):
            return {"kind": type(action).__name__, "ticket": ticket, "comment": comment}
        case ReadRecording(session):
            return {"kind": "ReadRecording", "session": session}
        case BlockAgent(kind, name, reason) | UnblockAgent(kind, name, reason):
            what = type(action).__name__
            return {"kind": what, "what": kind.value, "name": name, "reason": reason}
        case EndSession() | ManageWebhooks():
            return {"kind": type(action).__name__, **asdict(action)}
        case ExplainPolicy(text, principal):
            return {"kind": "ExplainPolicy", "text": text, "principal": principal}


def _declared_types(parameters: Sequence[Parameter]) -> dict[str, Json]:
    """The OIDs of the types that the caller declared, where there are any; 0 is none."""
    types: list[Json] = [p.type for p in parameters]
    return {"types": types} if any(types) else {}


def parameter_document(parameter: Parameter) -> Json:
    if parameter.value is None:
        return None
    if parameter.binary:
        return {"hex": parameter.value.hex()}
    return parameter.value.decode("utf-8", "backslashreplace")


def _request_document(request: AccessRequest, shown: Kept) -> dict[str, Json]:
    action = {k: v for k, v in action_document(shown.action).items() if k != "text"}
    return {
        **({"removed": shown.removed} if shown.removed else {}),
        "principal": request.principal.id,
        "agent": request.principal.agent,
        "target": request.target.name if request.target else "",
        "channel": request.channel.value,
        "reason": kept_text(request.reason),
        "action": action,
        "facts": _facts(request.facts),
    }


@lru_cache(maxsize=4096)
def _facts(facts: SqlFacts | None) -> Json:
    """Facts as they stand in a record: the same for every call of a statement."""
    return written(facts_document(facts))


def _audits(decision: Decision) -> dict[str, Json]:
    """Nothing where no policy is in audit mode, as most are."""
    return {"audits": [audit_document(a) for a in decision.audits]} if decision.audits else {}


def _questions(decision: Decision) -> list[Json]:
    return [
        {
            "action": q.action,
            "resource": q.resource,
            "allowed": q.allowed,
            "policies": list(q.policies),
        }
        for q in decision.questions
    ]


def _body(action: Action) -> bytes:
    """The statement's text is the body, so that retention can delete it and keep the chain."""
    match action:
        case SqlStatement() | SqlPrepare() | SqlPlan() | SqlPreview() | ExplainPolicy():
            return action.text.encode("utf-8", "surrogatepass")
        case _:
            return b""
