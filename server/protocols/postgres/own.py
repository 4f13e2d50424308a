"""Statements of the gateway's own, around those of callers: BEGIN, COMMIT's aftermath, a reset."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from server.protocols.postgres import backend as b
from server.protocols.postgres import frontend as f
from server.protocols.postgres.codec import RowRun

OWN_ANSWERS: Final = (
    *(b.ParseComplete, b.BindComplete, b.RowDescription, b.NoData, RowRun, b.CommandComplete),
    b.ReadyForQuery,
)
"""What a server may say to them, besides that one has failed."""


@dataclass(frozen=True, slots=True)
class Own:
    """Statements that are sent together, and whose results concern nobody.

    `answer` is what a server says to them when all is well, to the byte: then nothing of it need
    be decoded. It may say more, a notice for instance, and is then heard word by word. So many
    (`count`) messages of the kind `end` end it.
    """

    frames: bytes
    answer: bytes
    end: type[b.CommandComplete | b.ReadyForQuery]
    count: int

    @property
    def queries(self) -> bool:
        """Whether each is a Query, which the server answers whatever came before."""
        return self.end is b.ReadyForQuery


def statements(*spoken: tuple[str, bytes]) -> Own:
    """Texts and their results, without a Sync: the first error skips all to the next one."""
    sent = [m for text, _ in spoken for m in (f.Parse("", text), f.Bind("", ""), f.Execute(""))]
    before = b.ParseComplete().encode() + b.BindComplete().encode()
    answer = b"".join(before + result for _, result in spoken)
    return Own(_encoded(sent), answer, b.CommandComplete, len(spoken))


def queries(*texts: str) -> Own:
    """Commands that have their text as tag and leave no transaction open, each by itself."""
    heard = [m for text in texts for m in (b.CommandComplete(text), b.ReadyForQuery("I"))]
    return Own(_encoded(map(f.Query, texts)), _encoded(heard), b.ReadyForQuery, len(texts))


def _encoded(messages: Iterable[f.Command | b.BackendMessage]) -> bytes:
    return b"".join(message.encode() for message in messages)
