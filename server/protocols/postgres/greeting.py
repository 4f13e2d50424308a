"""A client's first messages: which target, which version, which settings. Sans decisions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from policies.errors import Denied, ProtocolError, Refusal
from server.native.targets import target_named
from server.protocols.postgres import backend as b
from server.protocols.postgres import frontend as f
from server.protocols.postgres.client import Client
from server.protocols.postgres.wording import notice

# Settings that statements' meaning does not hang on; they stay as the target's configuration says.
_IGNORED: Final = ("extra_float_digits", "datestyle", "timezone", "intervalstyle")
SHORT_KEY: Final = 4
LONG_KEY: Final = 32  # bytes, as PostgreSQL's own; the protocol allows 256
_UTF8: Final = ("utf8", "unicode", "auto")
# What a client may know of the server behind; not who we are there.
REPORTED: Final = (
    *("server_version", "server_encoding", "client_encoding", "integer_datetimes"),
    *("standard_conforming_strings", "DateStyle", "IntervalStyle", "TimeZone"),
    *("in_hot_standby", "default_transaction_read_only"),
)


@dataclass(frozen=True, slots=True)
class Hello:
    """What a client asked for; `answer` is what it is told before it is asked for its token.

    `notices` come with the welcome: pgjdbc takes none before. `version` is the one spoken.
    """

    target: str
    answer: bytes = b""
    notices: bytes = b""
    version: int = f.PROTOCOL_3_0

    @property
    def key_bytes(self) -> int:
        """How long a cancel key its client takes."""
        return LONG_KEY if self.version >= f.PROTOCOL_3_2 else SHORT_KEY


async def first_message(client: Client) -> f.StartupMessage | f.CancelRequest:
    """What comes once encryption is settled. Raises `ProtocolError` and `ClientGone`."""
    match await client.login_message():
        case f.StartupMessage() | f.CancelRequest() as message:
            return message
        case _:
            raise ProtocolError("expected a startup message")


def hello(message: f.StartupMessage) -> Hello:
    """Read the startup parameters. Raises `Denied` for what can't be granted."""
    names = [name for name, _ in message.parameters]
    if len(names) != len(set(names)):
        raise ProtocolError("a startup parameter is given twice")
    given = dict(message.parameters)
    if not given.get("user"):
        raise ProtocolError("the startup message names no user")
    options = tuple(name for name in names if name.startswith("_pq_."))
    notices = [_setting(name, value) for name, value in given.items() if name not in options]
    version, negotiated = min(message.version, f.PROTOCOL_3_2), b""
    if options or message.version != version:
        negotiated = b.NegotiateProtocolVersion(version, options).encode()
    target = target_named(given["user"], given.get("database", "") or given["user"])
    return Hello(target, negotiated, b"".join(notices), version)


def _setting(name: str, value: str) -> bytes:
    """Accept one startup parameter, with a notice if it has no effect; or refuse it."""
    lowered = name.lower()
    if name in ("user", "database", "application_name"):
        return b""
    if lowered == "client_encoding":
        if value.lower().replace("-", "").strip("'\"") in _UTF8:
            return b""
        raise Denied(_refused("client_encoding other than UTF8"))
    if lowered in _IGNORED:
        return notice(f"{name} is set by the gateway; what the client asked for has no effect")
    if lowered in ("options", "replication") and value in ("", "false", "off", "no", "0"):
        return b""
    raise Denied(_refused(name))


def _refused(name: str) -> Refusal:
    return Refusal(
        code="STARTUP_PARAMETER",
        reason=f"The startup parameter {name[:64]!r} is not let through.",
        subject=name[:64],
        next_step="Connect without it.",
    )


def welcome(parameters: Mapping[str, str], key: b.BackendKeyData, notices: bytes) -> bytes:
    """What a client gets when it is let in."""
    known = (b.ParameterStatus(n, parameters[n]) for n in REPORTED if n in parameters)
    statuses = b"".join(status.encode() for status in known)
    accepted, ready = b.AuthenticationRequest(0), b.ReadyForQuery("I")
    return accepted.encode() + notices + statuses + key.encode() + ready.encode()
