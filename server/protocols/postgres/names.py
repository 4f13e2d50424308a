"""Statement or portal names of one session, with undo for what the server skipped. Pure."""

from __future__ import annotations

from typing import Final, Generic, TypeVar

from policies.errors import ProtocolError

# What one session may make the gateway remember.
MAX_NAMES: Final = 10_000
MAX_UNSETTLED: Final = 200_000

_Value = TypeVar("_Value")


class Names(Generic[_Value]):
    """Name -> value, changed when a message is sent and taken back if the server skipped it.

    `mark` before a message; `rollback(mark)` when it, and all after it, did not happen;
    `settle` when everything sent so far has been answered.
    """

    def __init__(self) -> None:
        self._values: dict[str, _Value] = {}
        self._undo: list[tuple[str, _Value | None]] = []

    def get(self, name: str) -> _Value | None:
        return self._values.get(name)

    def define(self, name: str, value: _Value) -> None:
        if len(self._values) >= MAX_NAMES and name not in self._values:
            raise ProtocolError("too many prepared statements or portals")
        if len(self._undo) >= MAX_UNSETTLED:
            raise ProtocolError("too many messages without a Sync")
        self._undo.append((name, self._values.get(name)))
        self._values[name] = value

    def forget(self, name: str) -> None:
        if name in self._values:
            self._undo.append((name, self._values.pop(name)))

    def clear(self) -> None:
        for name in tuple(self._values):
            self.forget(name)

    def mark(self) -> int:
        return len(self._undo)

    def rollback(self, mark: int) -> None:
        while len(self._undo) > mark:
            name, before = self._undo.pop()
            if before is None:
                self._values.pop(name, None)
            else:
                self._values[name] = before

    def settle(self) -> None:
        self._undo.clear()
