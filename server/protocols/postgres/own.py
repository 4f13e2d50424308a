"""Statements of the gateway's own, around those of callers: BEGIN, COMMIT's aftermath, a reset."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
        """Whether each ends with a ReadyForQuery, which comes whatever came before."""
        return self.end is b.ReadyForQuery

    def then(self, other: Own) -> Own:
        """These and others behind them, which have the same kind of end."""
        frames, answer = self.frames + other.frames, self.answer + other.answer
        return Own(frames, answer, self.end, self.count + other.count)


def statements(*spoken: tuple[str, bytes]) -> Own:
    """Texts and their results, without a Sync: the first error skips all to the next one."""
    sent = [m for text, _ in spoken for m in (f.Parse("", text), f.Bind("", ""), f.Execute(""))]
    before = b.ParseComplete().encode() + b.BindComplete().encode()
    answer = b"".join(before + result for _, result in spoken)
    return Own(encoded(sent), answer, b.CommandComplete, len(spoken))


def queries(*texts: str) -> Own:
    """Commands that have their text as tag and leave no transaction open, each by itself."""
    heard = [m for text in texts for m in (b.CommandComplete(text), b.ReadyForQuery("I"))]
    return Own(encoded(map(f.Query, texts)), encoded(heard), b.ReadyForQuery, len(texts))


def together(tags: Mapping[str, str]) -> Own:
    """Commands with their tags, as one Query: the first that fails is the last."""
    heard = [b.CommandComplete(tag) for tag in tags.values()]
    answer = encoded([*heard, b.ReadyForQuery("I")])
    return Own(f.Query("; ".join(tags)).encode(), answer, b.ReadyForQuery, 1)


def synced(*spoken: tuple[str, bytes]) -> Own:
    """Texts and their results, with a Sync behind them: all of them or none."""
    said = statements(*spoken)
    end = b.ReadyForQuery("I").encode()
    return Own(said.frames + f.Sync().encode(), said.answer + end, b.ReadyForQuery, 1)


def tagged(tag: str) -> bytes:
    """The end of a statement that has this command tag."""
    return b.CommandComplete(tag).encode()


def encoded(messages: Iterable[f.Command | b.BackendMessage]) -> bytes:
    """Messages as they go over the wire."""
    return b"".join(message.encode() for message in messages)
