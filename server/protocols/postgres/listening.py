"""The channels that a native session listens to, and what came on them. No input or output.

A LISTEN holds once it is committed, as at the server. What comes on other channels was asked for by
nobody who may: a trigger can listen behind its caller's back. It is dropped here, unseen.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from time import monotonic
from typing import Final

from recordings.events import Done, Notification
from server.connections import NOTHING_HEARD, Heard
from server.gate import Grant
from server.protocols.postgres import backend as b

FLOOD: Final = 1 << 20
"""Characters of notifications in `FLOOD_SECONDS`, past which a session is told no more."""
FLOOD_SECONDS: Final = 10.0
EACH: Final = 64
"""Characters that a notification counts for besides its text."""

_ALL: Final = ""  # no channel has this name


@dataclass(slots=True)
class Listening:
    """`channels`: those listened to, with the grant of their LISTEN. `flooded`: too much came."""

    channels: dict[str, Grant] = field(default_factory=dict)
    flooded: bool = False
    _uncommitted: list[tuple[str, Grant | None]] = field(default_factory=list)
    _savepoints: list[tuple[str, int]] = field(default_factory=list)
    _failed: bool = False
    _heard: list[b.NotificationResponse] = field(default_factory=list)
    _since: float = 0.0
    _size: int = 0

    # -- what came

    def hear(self, message: b.NotificationResponse) -> None:
        """Keep what came, if it may be for this session: its LISTEN may be in the same message."""
        awaited = any(name == message.channel for name, _ in self._uncommitted)
        if message.channel not in self.channels and not awaited:
            return
        now = monotonic()
        if now - self._since > FLOOD_SECONDS:
            self._since, self._size = now, 0
        self._size += EACH + len(message.channel) + len(message.payload)
        if self._size > FLOOD:
            self.flooded = True
        else:
            self._heard.append(message)

    def take(self) -> Heard:
        """What came since this was asked last, on channels that are listened to now."""
        if not self._heard and not self.flooded:
            return NOTHING_HEARD
        came, self._heard = self._heard, []
        told = [
            (self.channels[each.channel], Notification(each.channel, each.payload, each.process))
            for each in came
            if each.channel in self.channels
        ]
        return Heard(told, self.flooded)

    # -- following the session's transactions

    def succeeded(self, grant: Grant, done: Done) -> None:
        """The server has said that a statement ran."""
        facts = grant.request.facts
        if facts is None:
            return
        match done.tag:
            case "LISTEN":
                self._uncommitted += [(name, grant) for name in facts.channels]
            case "UNLISTEN" | "DISCARD ALL":
                self._uncommitted += [(name, None) for name in facts.channels or (_ALL,)]
            case "SAVEPOINT":
                self._savepoints.append((facts.savepoint, len(self._uncommitted)))
            case "RELEASE":
                del self._savepoints[self._newest(facts.savepoint) :]
            case "ROLLBACK" if "rollback_to" in facts.kinds:
                self._back_to(self._newest(facts.savepoint))
            case "ROLLBACK":
                self._rolled_back()
            case "COMMIT":
                self._committed()

    def failed(self) -> None:
        """The server has said that something did not run."""
        self._failed = True

    def ready(self, status: str) -> None:
        """The server has answered everything, and is in this transaction status."""
        if status == "I" and self._failed:
            self._rolled_back()
        elif status == "I":
            self._committed()
        self._failed = False

    def _committed(self) -> None:
        for name, grant in self._uncommitted:
            if grant is not None:
                self.channels[name] = grant
            elif name == _ALL:
                self.channels.clear()
            else:
                self.channels.pop(name, None)
        self._rolled_back()

    def _rolled_back(self) -> None:
        self._uncommitted.clear()
        self._savepoints.clear()

    def _newest(self, savepoint: str) -> int:
        named = [i for i, (name, _) in enumerate(self._savepoints) if name == savepoint]
        return named[-1] if named else len(self._savepoints)

    def _back_to(self, index: int) -> None:
        if index < len(self._savepoints):
            del self._uncommitted[self._savepoints[index][1] :]
            del self._savepoints[index + 1 :]
