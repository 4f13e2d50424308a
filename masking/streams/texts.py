"""Text with documents in it: lines are searched, JSON and YAML are walked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from masking.recognizers.manifests import data_values, rest_values, secret_values
from masking.spans import Span, placeholder
from masking.streams.bounds import Bounds
from masking.streams.documents import Documents, Kind, Part, may_be_secret
from masking.streams.literals import Literal, NotWalked, json_literals, yaml_literals
from masking.streams.names import is_hollow, may_say_secret
from masking.streams.searching import LineStream, Piece, Searches
from masking.streams.walking import BY_NAME, NAMED, Change, changes, comments, in_json, in_yaml


class TextPieces:
    """The characters of a text stream; see `masking.streams.stream`."""

    def __init__(self, searches: Searches, bounds: Bounds, columns: int = 0) -> None:
        self._bounds = bounds
        self._searches = searches
        self._since: float | None = None
        self._documents = Documents(bounds.document)
        self._lines = LineStream(searches, bounds, columns)

    @property
    def waiting(self) -> bool:
        """Whether anything is held back."""
        return self._documents.waiting or self._lines.waiting

    async def feed(self, text: str) -> list[Piece]:
        """What may go out now."""
        pieces = await self._through(self._documents.feed(text))
        if pieces:
            self._since = None
        return pieces

    async def tick(self, now: float) -> list[Piece]:
        """What may go out because it was held for too long."""
        if not self.waiting:
            self._since = None
            return []
        if self._since is None:
            self._since = now
        bounds = self._bounds
        if now - self._since < (bounds.document_wait if self._documents.begun else bounds.wait):
            return []
        self._since = None
        pieces = await self._through(self._documents.give_up())
        return [*pieces, *await self._lines.expire()]

    async def end(self) -> list[Piece]:
        """The rest."""
        pieces = await self._through(self._documents.give_up(ended=True))
        return [*pieces, *await self._lines.end()]

    async def _through(self, parts: Sequence[Part]) -> list[Piece]:
        pieces: list[Piece] = []
        for kind, group in groupby(parts, lambda part: part.kind):
            together = list(group)
            clean = await self._clean(together) if kind is Kind.JSON else set()
            for number, part in enumerate(together):
                if number in clean:
                    pieces += [*await self._lines.end(), Piece(part.text)]
                else:
                    pieces += await self._part(part)
        return pieces

    async def _clean(self, parts: Sequence[Part]) -> set[int]:
        """Documents in which walking would find nothing: most lines of JSON logs."""
        plain = [n for n, part in enumerate(parts) if not _needs_a_walk(part.text)]
        lines = [(n, line) for n in plain for line in parts[n].text.split("\n") if line]
        found = await self._searches.in_lines([line for _, line in lines])
        return set(plain) - {lines[index][0] for index in found}

    async def _part(self, part: Part) -> list[Piece]:
        if part.kind is Kind.TEXT:
            return await self._lines.feed(part.text)
        before = await self._lines.end()
        if part.kind is Kind.REST:
            return [*before, *await self._without(part.text, rest_values(part.text))]
        try:
            return [*before, *await self._walked(part)]
        except NotWalked:
            unsure = part.unfinished and may_be_secret(part.text)
            values = (data_values if unsure else secret_values)(part.text)
            return [*before, *await self._without(part.text, values)]

    async def _without(self, text: str, values: Iterable[tuple[int, int]]) -> list[Piece]:
        """What can't be walked, as lines; these values of Secrets in it go all the same."""
        pieces: list[Piece] = []
        position = 0
        for start, end in sorted(values) if self._searches.wants(NAMED) else ():
            if start >= position and not is_hollow(text[start:end].strip("\"'")):
                pieces += [*await self._lines.feed(text[position:start]), *await self._lines.end()]
                span = Span(start, end, NAMED, recognizer=BY_NAME)
                pieces.append(Piece(text[start:end], (span,), placeholder(NAMED)))
                position = end
        return [*pieces, *await self._lines.feed(text[position:])]

    async def _walked(self, part: Part) -> list[Piece]:
        """Raises `NotWalked` for what only looked like a document."""
        text = part.text
        if part.kind is Kind.JSON:
            found = await changes(json_literals(text), self._searches, in_json)
        else:
            if part.unfinished and may_be_secret(text):
                raise NotWalked
            literals = _mappings(yaml_literals(text))
            found = await changes(literals, self._searches, in_yaml(text))
            found += await comments(text, literals, self._searches)
        return _changed(text, sorted(found, key=lambda change: change.start))


def _needs_a_walk(text: str) -> bool:
    return "\\" in text or may_say_secret(text)


def _mappings(literals: list[Literal]) -> list[Literal]:
    """Raises `NotWalked` where there is no mapping: any prose is a YAML scalar."""
    if not any(literal.key for literal in literals):
        raise NotWalked
    return literals


def _changed(text: str, made: Sequence[Change]) -> list[Piece]:
    pieces: list[Piece] = []
    position = 0
    for change in made:
        pieces.append(Piece(text[position : change.start]))
        pieces.append(Piece(text[change.start : change.end], change.spans, change.text))
        position = change.end
    return [*pieces, Piece(text[position:])]
