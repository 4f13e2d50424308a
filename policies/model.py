"""The vocabulary: who asks, for what, on what, and what was decided."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal, Protocol

from policies.errors import Refusal
from policies.sql.facts import SqlFacts, TableName
from policies.sql.server_secrets import SERVER_SECRET


class Channel(StrEnum):
    """The way a request came in; Cedar sees it as `context.request.channel`."""

    MCP = "mcp"
    ELICITATION = "elicitation"
    POSTGRES = "postgres"
    MYSQL = "mysql"
    API = "api"
    WEB = "web"
    GATEWAY = "gateway"


@dataclass(frozen=True, slots=True)
class Principal:
    """The person or service in the token, and the agent acting for them.

    `id` is `<issuer name>:<subject>`, unique over issuers; `name` is for people to read;
    `agent` is the OAuth client that the token was issued to.
    """

    id: str
    name: str
    agent: str
    groups: frozenset[str] = frozenset()
    email: str | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """A configured backend. `environment` and `groups` are what policies select targets by."""

    name: str
    kind: str
    environment: str
    groups: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Connect:
    """Open a session on the target."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One bound parameter in its wire form; `None` is NULL.

    `type` is the OID that the caller declared for it; 0 where the target finds the type out.
    `scalar` is what a value was before it was text, for a target that does not find it out (MySQL).
    """

    value: bytes | None
    binary: bool = False
    type: int = 0
    scalar: Literal["text", "integer", "float", "boolean"] = "text"


class Stage(StrEnum):
    """How much of running a statement one message asks for: PostgreSQL's Bind and Execute."""

    WHOLE = "whole"
    BIND = "bind"
    EXECUTE = "execute"


@dataclass(frozen=True, slots=True)
class SqlStatement:
    """Run one statement, and return at most `max_rows` rows (0: all) after the first `skip`."""

    text: str
    parameters: tuple[Parameter, ...] = ()
    skip: int = 0
    max_rows: int = 0
    stage: Stage = Stage.WHOLE


@dataclass(frozen=True, slots=True)
class SqlPrepare:
    """Let the target parse a statement (PostgreSQL's Parse); running it is asked again.

    `types` are the oids that the client says its parameters have; 0 leaves it to the server.
    """

    text: str
    types: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class SqlPlan:
    """Let the target plan a statement without running it: policy is asked what running it asks."""

    text: str
    parameters: tuple[Parameter, ...] = ()


@dataclass(frozen=True, slots=True)
class SqlPreview:
    """Run the statement of a ticket, look at what it changed, and roll it back."""

    ticket: str
    text: str
    parameters: tuple[Parameter, ...] = ()


@dataclass(frozen=True, slots=True)
class ReadCatalog:
    """The gateway itself reads names, columns and functions of the target."""


@dataclass(frozen=True, slots=True)
class ScanTarget:
    """Sample at most `rows` rows of each of these tables, to propose labels; no value is shown.

    Without `columns` all of a table's.
    """

    tables: tuple[TableName, ...]
    columns: tuple[str, ...] = ()
    rows: int = 200


@dataclass(frozen=True, slots=True)
class Requested:
    """What policies know of a ticket: who asked, as they were then, and what for.

    `own`: whoever acts on it now is the requester, or can't be told from them. `approved`: they
    have approved it before. `destroys`: it may remove rows or change the schema.
    """

    requester: Principal
    verbs: frozenset[str]
    destroys: bool
    own: bool
    approved: bool = False


@dataclass(frozen=True, slots=True)
class DecideApproval:
    """Approve or deny somebody's ticket. Without a ticket it is only asked whether one might."""

    ticket: str
    approve: bool
    requested: Requested
    comment: str = ""


@dataclass(frozen=True, slots=True)
class WithdrawApproval:
    """Take one's own request back before it runs. Without a ticket: whether one might."""

    ticket: str
    requested: Requested
    comment: str = ""


@dataclass(frozen=True, slots=True)
class RevokeApproval:
    """Take an approval back before it is used. Without a ticket: whether one might."""

    ticket: str
    requested: Requested
    comment: str = ""


@dataclass(frozen=True, slots=True)
class ReadRecording:
    """Read one session's recording, or, without a session, the list of sessions."""

    session: str | None = None


class Blockable(StrEnum):
    """What the kill switch stops: an agent for everybody, or a person with every agent."""

    AGENT = "agent"
    PERSON = "person"


@dataclass(frozen=True, slots=True)
class BlockAgent:
    """Let this agent, or this person, in no more."""

    kind: Blockable
    name: str
    reason: str = ""
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class UnblockAgent:
    """Let them in again."""

    kind: Blockable
    name: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ListAgents:
    """See which agents came lately, and which are blocked."""


@dataclass(frozen=True, slots=True)
class EndSession:
    """End somebody's session at a native door, or take their token for one back.

    `person` is a principal's id; `subject` the session's or the token's.
    """

    person: str
    subject: str


@dataclass(frozen=True, slots=True)
class ManageWebhooks:
    """See how webhooks stand, try one, or begin again with what could not be delivered.

    `operation` is list, failed, retry or test; `subject` a webhook's name or a delivery's id.
    """

    operation: str
    subject: str = ""


@dataclass(frozen=True, slots=True)
class ExplainPolicy:
    """Ask what would be decided for somebody; nothing runs."""

    text: str
    principal: str


Action = (
    Connect
    | SqlStatement
    | SqlPrepare
    | SqlPlan
    | SqlPreview
    | ReadCatalog
    | ScanTarget
    | DecideApproval
    | WithdrawApproval
    | RevokeApproval
    | ReadRecording
    | BlockAgent
    | UnblockAgent
    | ListAgents
    | EndSession
    | ManageWebhooks
    | ExplainPolicy
)


GatewayAction = (
    DecideApproval
    | WithdrawApproval
    | RevokeApproval
    | BlockAgent
    | UnblockAgent
    | ListAgents
    | EndSession
    | ManageWebhooks
    | ReadRecording
    | ExplainPolicy
)
"""Acts on the gateway itself, that `Gate.authorize` decides."""


@dataclass(frozen=True, slots=True)
class AccessRequest:
    """One question to the decision point: may this principal do this here, in this way?"""

    principal: Principal
    target: Target | None
    action: Action
    channel: Channel
    now: datetime
    session: str
    facts: SqlFacts | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class RequireApproval:
    """So many people of `groups` must approve; `self_confirmation` lets the requester do it."""

    policy: str
    groups: frozenset[str]
    sentence: str = ""
    self_confirmation: bool = False
    people: int = 1


@dataclass(frozen=True, slots=True)
class MaskLabels:
    """Columns with one of these labels are masked."""

    labels: frozenset[str]
    policy: str


@dataclass(frozen=True, slots=True)
class LimitRows:
    """At most `count` rows of one statement's result are delivered."""

    count: int
    policy: str


@dataclass(frozen=True, slots=True)
class LimitTime:
    """The statement is cancelled after `seconds`."""

    seconds: float
    policy: str


Obligation = RequireApproval | MaskLabels | LimitRows | LimitTime


@dataclass(frozen=True, slots=True)
class Audit:
    """What a policy with `@mode("audit")` would have done to a request; it decided nothing.

    Without obligations it would have refused. `failed`: its evaluation ended in an error.
    """

    policy: str
    obligations: tuple[Obligation, ...] = ()
    failed: bool = False


class Effect(StrEnum):
    PERMIT = "permit"
    DENY = "deny"


@dataclass(frozen=True, slots=True)
class Question:
    """One question that was put to Cedar, and its answer, for `explain` and for the recording."""

    action: str
    resource: str
    allowed: bool
    policies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """Permit or deny, with the obligations of a permit or the refusal of a deny."""

    effect: Effect
    policy_version: str
    obligations: tuple[Obligation, ...] = ()
    refusal: Refusal | None = None
    questions: tuple[Question, ...] = field(default=())
    audits: tuple[Audit, ...] = ()
    approvals: tuple[RequireApproval, ...] = field(init=False, repr=False, compare=False)
    masked_labels: frozenset[str] = field(init=False, repr=False, compare=False)
    row_limit: int | None = field(init=False, repr=False, compare=False)
    time_limit: float | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Read off the obligations once: a decision is remembered, and serves many requests.
        wanted = self.obligations
        masks = (o.labels for o in wanted if isinstance(o, MaskLabels))
        rows = (o.count for o in wanted if isinstance(o, LimitRows))
        seconds = (o.seconds for o in wanted if isinstance(o, LimitTime))
        read_off = {
            "approvals": tuple(o for o in wanted if isinstance(o, RequireApproval)),
            "masked_labels": frozenset({SERVER_SECRET}).union(*masks),
            "row_limit": min(rows, default=None),
            "time_limit": min(seconds, default=None),
        }
        for name, value in read_off.items():
            object.__setattr__(self, name, value)


class DecisionPoint(Protocol):
    """The PDP: answers requests, changes nothing, and denies on any error of its own."""

    @property
    def version(self) -> str:
        """A digest of the schema and every policy text in force."""
        ...

    def decide(self, request: AccessRequest) -> Decision: ...

    def location(self, policy: str) -> str:
        """Where a policy stands, as `file:line`; empty for what no file says."""
        ...

    def sentence(self, policy: str) -> str:
        """What a policy's author says about it in `@reason`; empty where nothing is said."""
        ...
