"""What the API asks about native doors: tokens and live sessions, given out, listed and ended.

Whom somebody may do it for: for themselves always, for others where policy says `session.end`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NoReturn

from policies.errors import Denied, Refusal
from policies.model import Channel, Effect, EndSession, Principal
from recordings.chain import Json
from recordings.journal import Record
from server.gate import Gate
from server.native.live import LiveSession, LiveSessions
from server.native.settings import Tokens
from server.native.tokens import GatewayToken, StoredTokens, new_token
from server.records import refused_call
from server.refusals import unknown_target
from server.target_views import would_decide


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A new one: the only time that its secret is shown."""

    id: str
    token: str
    target: str
    protocol: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class NativeDesk:
    """Every change is in the journal before it takes effect."""

    gate: Gate
    tokens: StoredTokens
    sessions: LiveSessions
    settings: Tokens

    async def issue(
        self, principal: Principal, target: str, *, seconds: float | None, channel: Channel
    ) -> IssuedToken:
        """A token for one target, where its holder may connect. Raises `Denied`."""
        backend = self.gate.backends.get(target)
        if backend is None or backend.target.kind not in _DOORS:
            await self._refuse(principal, unknown_target(target))
        door = _DOORS[backend.target.kind]
        protocol = door.value
        await self.gate.connect(principal, target, door, "a token is asked for")
        ttl = self.settings.ttl if seconds is None else seconds
        if not 1 <= ttl <= self.settings.longest:
            await self._refuse(principal, _too_long(self.settings.longest))
        if await self.tokens.count(principal.id) >= self.settings.most:
            await self._refuse(principal, _too_many(self.settings.most))
        name, secret = new_token()
        more: dict[str, Json] = {"target": target, "protocol": protocol, "seconds": int(ttl)}
        await self._commit("token_issued", principal, channel, {"token": name, **more})
        ends = await self.tokens.insert(
            name, secret, principal, (target, protocol), timedelta(seconds=ttl)
        )
        return IssuedToken(name, secret, target, protocol, ends)

    async def issued(self, principal: Principal, channel: Channel) -> Sequence[GatewayToken]:
        """The tokens of those whose sessions this principal may end."""
        found = await self.tokens.listed()
        may = self._may(principal, {t.principal.id for t in found}, channel)
        return [token for token in found if token.principal.id in may]

    async def revoke(self, principal: Principal, token: str, *, channel: Channel) -> GatewayToken:
        """Take a token back: its sessions end. Raises `Denied`."""
        found = await self.tokens.find(token)
        if found is None:
            await self._refuse(principal, _unknown("TOKEN_UNKNOWN", token))
        await self._authorize(principal, found.principal.id, token, channel)
        await self._commit(
            "token_revoked", principal, channel, {"token": token, "of": found.principal.id}
        )
        await self.tokens.revoke(token, principal.id)
        await self.sessions.look()
        return found

    async def live(self, principal: Principal, channel: Channel) -> Sequence[LiveSession]:
        """The sessions of those whose sessions this principal may end."""
        found = await self.sessions.live()
        may = self._may(principal, {session.principal for session in found}, channel)
        return [session for session in found if session.principal in may]

    async def end(self, principal: Principal, session: str, *, channel: Channel) -> LiveSession:
        """End a live session. Raises `Denied`."""
        found = await self.sessions.find(session)
        if found is None:
            await self._refuse(principal, _unknown("SESSION_UNKNOWN", session))
        await self._authorize(principal, found.principal, session, channel)
        await self._commit(
            "session_ended", principal, channel, {"of": found.principal}, session=session
        )
        await self.sessions.end(session, principal.id)
        return found

    def _may(self, principal: Principal, people: set[str], channel: Channel) -> set[str]:
        """Of these people, whose sessions the principal may end; nothing is recorded."""
        backend = next(iter(self.gate.backends.values()))
        allowed = {principal.id}
        for person in people - allowed:
            action = EndSession(person, "")
            decision = would_decide(self.gate, principal, backend, action, channel=channel)
            if decision.effect is Effect.PERMIT and not decision.obligations:
                allowed.add(person)
        return allowed & people

    async def _authorize(self, who: Principal, of: str, subject: str, channel: Channel) -> None:
        if who.id != of:
            await self.gate.authorize(who, EndSession(of, subject), channel=channel)

    async def _commit(
        self,
        kind: str,
        principal: Principal,
        channel: Channel,
        more: dict[str, Json],
        *,
        session: str = "",
    ) -> None:
        by: dict[str, Json] = {"principal": principal.id, "agent": principal.agent}
        document = {**by, "channel": channel.value, **more}
        await self.gate.journal.commit(Record(session, kind, document))

    async def _refuse(self, principal: Principal, refusal: Refusal) -> NoReturn:
        await self.gate.journal.commit(refused_call(principal, "native", refusal))
        raise Denied(refusal)


_DOORS: Final = {
    "postgres": Channel.POSTGRES,
    "mysql": Channel.MYSQL,
    "mariadb": Channel.MYSQL,
}
"""The door of each kind of target."""


def _too_long(longest: float) -> Refusal:
    return Refusal(
        code="TTL_NOT_ALLOWED",
        reason=f"A token lasts from 1 second to {longest:g} seconds here.",
        next_step="Ask for a shorter time with --ttl.",
    )


def _too_many(most: int) -> Refusal:
    return Refusal(
        code="TOO_MANY_TOKENS",
        reason=f"You have {most} tokens that have not expired, and no more are given out.",
        next_step="Revoke those that are not used: ostiary tokens list.",
    )


def _unknown(code: str, subject: str) -> Refusal:
    return Refusal(
        code=code,
        reason="There is none that you may see.",
        subject=subject[:64],
        next_step="Check the id.",
    )
