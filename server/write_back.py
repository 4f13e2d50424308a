"""Masks and pseudonyms of ours in what is written: refused on every door, before anything is sent.

Looked for in the literals of the statement, alone and as `||` or concat would join them with each
other and with parameters, and in the values of its parameters. What a caller encodes (base64, hex)
or computes by other functions is not undone: the first guard is that masked columns are not
written (`policies.write_back`). `COPY … FROM STDIN` is `server.copied_in`'s.
"""

from __future__ import annotations

import html
import re
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from policies.errors import Refusal
from policies.model import (
    AccessRequest,
    Decision,
    Effect,
    Parameter,
    SqlPlan,
    SqlPrepare,
    SqlStatement,
)
from policies.sql.facts import SqlEffect, SqlFacts
from policies.sql.mysql import lexer as mysql
from policies.sql.not_understood import NotUnderstood
from policies.sql.tokens import Kind, Token, content, tokens

HoldsMasks = Callable[[str], str]
"""Which mask or pseudonym of ours stands in a text, in words; empty for none."""

_UUID: Final = r"8[0-9A-Fa-f]{3}-?[89ABab][0-9A-Fa-f]{3}(?:-?[0-9A-Fa-f]{4}){3}"
"""The end of a UUID of version 8, as pseudonyms are."""

_HIDDEN: Final = "|".join(
    rf"{c}{c}{c}|{c}{c}[^\w{c}]{{1,8}}{c}|{c}[^\w{c}]{{1,8}}{c}{c}" for c in (r"\*", "#", "x", "X")
)
"""Three mask characters, two of them side by side, with signs between."""

_MARK: Final = rf"<[A-Z]|<red|&(?:lt|#)|{_HIDDEN}|\*@|p_[a-z2-7]{{10}}|{_UUID}"
_CLUE: Final = re.compile(rf"{_MARK}|\xe2\x80\xa2\xe2|\\u00[0-7][0-9A-Fa-f]".encode("latin-1"))
"""Stands in every value that holds a mark."""

_WRITTEN_CLUE: Final = re.compile(rf"{_MARK}|\u2022|\\|&'|\|\||'\s+'")
"""Stands in every statement with a literal that holds one, or with some that may make one."""

_MYSQL: Final = frozenset({"mysql", "mariadb"})
_WRITES: Final = frozenset({SqlEffect.WRITE, SqlEffect.DDL})
_JOINING: Final = re.compile(r"concat|format")
_UNICODE: Final = re.compile(r"\\u([0-9A-Fa-f]{4})")
_PARTING: Final = re.compile(r'[\x00-\x1f\x7f"{},\[\];|]')
"""Between values: in arrays, documents, copied rows, and as lengths in binary forms."""

_AROUND: Final = 512
"""Bytes before and behind a clue in which a mark is told from what is round it."""
_DIGITS: Final = 9
"""Of a parameter's number: no statement has as many of them."""

_UUID_BYTES: Final = 16
UUID_LENGTH: Final = _UUID_BYTES.to_bytes(4, "big")
UUID_CELL: Final = len(UUID_LENGTH) + _UUID_BYTES
"""Bytes of a UUID in binary form and its length before it."""
_UUID_CELL: Final = re.compile(rb"\x00\x00\x00\x10(?=(.{16}))", re.DOTALL)
_CUSTOM: Final = 8
"""The version of UUIDs that pseudonyms have (RFC 9562)."""

_MOST_PARTS: Final = 4000
"""Parts of one value that are looked at; with more it counts as marked."""

_SHORT: Final = 1024
"""Bytes of a value that is looked at whole, and not only round clues."""

_SHORTEST: Final = 4
"""Characters: there is no shorter mark."""


@dataclass(frozen=True, slots=True)
class _Literal:
    """What a string constant says, where it stands, and whether it goes on from the one before."""

    text: str
    start: int
    end: int
    joined: bool = False


def without_masks(request: AccessRequest, decision: Decision, holds: HoldsMasks) -> Decision:
    """The decision; a deny where what is permitted would write a mask of ours."""
    facts, action = request.facts, request.action
    if decision.effect is not Effect.PERMIT or facts is None or not writes(facts):
        return decision
    if not isinstance(action, SqlStatement | SqlPrepare | SqlPlan):
        return decision
    dialect = request.target.kind if request.target else ""
    parameters = () if isinstance(action, SqlPrepare) else action.parameters
    for number, parameter in enumerate(parameters, start=1):
        if mark := holds_mark(parameter.value or b"", holds, binary=parameter.binary):
            return _denied(decision, _holding(mark, IN_PARAMETER, subject=f"parameter ${number}"))
    found = mask_in(action.text, dialect, holds, parameters)
    if found is not None:
        return _denied(decision, _holding(found.mark, IN_LITERAL, span=found.span))
    return decision


def _holding(
    mark: str, refusal: Refusal, *, subject: str = "", span: tuple[int, int] | None = None
) -> Refusal:
    return replace(refusal, reason=f"{refusal.reason} Found: {mark}.", subject=subject, span=span)


def writes(facts: SqlFacts) -> bool:
    """Whether something is changed, or would be by what is prepared."""
    return facts.effect in _WRITES or any(use.verb != "select" for use in facts.tables)


def _denied(decision: Decision, refusal: Refusal) -> Decision:
    return replace(decision, effect=Effect.DENY, obligations=(), refusal=refusal)


_NEXT_STEP: Final = (
    "Leave out what you see masked: write only values that you know, and name rows by their key."
    " If it is a text of your own that only looks so, write it another way."
)
IN_LITERAL: Final = Refusal(
    code="WRITE_BACK_MASK",
    reason="A literal of the statement holds a mask or pseudonym that the gateway made: it is not"
    " what is stored. Written it would take the value's place; in a WHERE it finds nothing.",
    next_step=_NEXT_STEP,
)
IN_PARAMETER: Final = replace(
    IN_LITERAL, reason=IN_LITERAL.reason.replace("A literal", "A parameter")
)
COPIED_IN: Final = Refusal(
    code="WRITE_BACK_MASK",
    reason="The rows that were copied in hold a mask or pseudonym that the gateway made: it is not"
    " what is stored. None of them was written.",
    next_step="Leave the masked columns out of the rows, and of the COPY's list of columns.",
)


# -- the text of a statement


@dataclass(frozen=True, slots=True)
class Found:
    """What stands in a statement, in words, and the byte range of the literals that hold it."""

    mark: str
    span: tuple[int, int]


def mask_in(
    text: str, dialect: str, holds: HoldsMasks, parameters: Sequence[Parameter] = ()
) -> Found | None:
    """The first literals that hold a mask; None for nearly every statement."""
    lists = _JOINING.search(text.lower()) is not None
    if not lists and not _WRITTEN_CLUE.search(text):
        return None
    values = [_text_of(parameter) for parameter in parameters]
    found = list(
        _of_mysql(text, values, lists=lists)
        if dialect in _MYSQL
        else _of_postgres(text, values, lists=lists)
    )
    for run in _runs(found):
        joined = "".join(literal.text for literal in run)
        said = (joined, *(each.text for each in run)) if len(run) > 1 else (joined,)
        for each in said:
            if mark := holds_mark(each.encode("utf-8", "replace"), holds, binary=False):
                start, end = run[0].start, run[-1].end
                return Found(mark, (_bytes_before(text, start), _bytes_before(text, end)))
    return None


def _text_of(parameter: Parameter) -> str:
    """A text looks the same in both forms; whatever else joins no mask."""
    return (parameter.value or b"").decode("utf-8", "replace")


def _bytes_before(text: str, position: int) -> int:
    return len(text[:position].encode("utf-8", "replace"))


def _runs(found: Iterable[_Literal]) -> Iterator[list[_Literal]]:
    run: list[_Literal] = []
    for literal in found:
        if run and not literal.joined:
            yield run
            run = []
        run.append(literal)
    if run:
        yield run


def _of_postgres(text: str, values: Sequence[str], *, lists: bool) -> Iterator[_Literal]:
    between: list[str] = []
    for token in tokens(text):
        said = None
        if token.kind is Kind.LITERAL:
            said = content(_as_escaped(token, text)).text
        elif token.kind is Kind.PARAMETER:
            said = dict(enumerate(values, start=1)).get(int(token.value[:_DIGITS]))
        if said is not None:
            yield _Literal(said, token.start, token.end, _joins(between, lists=lists))
            between = []
        elif token.kind is not Kind.COMMENT:
            between.append(text[token.start : token.end])


def _as_escaped(token: Token, text: str) -> Token:
    """A literal as if the character that it names in UESCAPE were the backslash."""
    escape = _UESCAPE.match(text, token.end) if token.form == "unicode" else None
    if escape is None:
        return token
    return replace(token, value=token.value.replace("\\", "\0").replace(escape[1], "\\"))


_BLANKS: Final = r"(?:\s|--[^\n\r]*[\n\r]|/\*.*?\*/)*"
_UESCAPE: Final = re.compile(rf"{_BLANKS}uescape{_BLANKS}'([^'])'", re.IGNORECASE | re.DOTALL)


def _of_mysql(text: str, values: Sequence[str], *, lists: bool) -> Iterator[_Literal]:
    """What can't be read is not run either."""
    between: list[str] = []
    bound = iter(values)
    try:
        for token in mysql.tokens(text):
            said = token.value if token.kind is mysql.Kind.STRING else None
            if token.kind is mysql.Kind.SIGN and token.value == "?":
                said = next(bound, None)
            if said is not None:
                joined = not between or _joins(between, lists=lists)
                yield _Literal(said, token.start, token.end, joined)
                between = []
            else:
                between.append(text[token.start : token.end])
    except NotUnderstood:
        return


def _joins(between: list[str], *, lists: bool) -> bool:
    """Whether what stands between two literals makes one text of them, as far as can be told.

    `lists`: a comma may, in the arguments of concat.
    """
    signs = [each for each in between if not each[0].isalnum() and each[0] != '"']
    plain = "".join(signs)
    if "|" in plain:
        return set(plain) <= set("|():")
    return lists and plain == ","


# -- values


def holds_mark(value: bytes, holds: HoldsMasks, *, binary: bool) -> str:
    """Which mark stands in a value, in text or in binary form, and in arrays of such.

    Mostly one quick look. What JSON and HTML make of their escapes counts too.
    """
    if len(value) < _SHORTEST:
        return ""
    if binary and (mark := next(filter(None, map(holds, map(str, _uuids(value)))), "")):
        return mark
    if not _CLUE.search(value):
        return ""
    if len(value) <= _SHORT and (mark := holds(_said(value))):
        return mark
    for number, part in enumerate(_parts(value)):
        if number >= _MOST_PARTS:
            return f"more than {_MOST_PARTS} signs of masks"
        if mark := holds(part):
            return mark
    return ""


def _uuids(value: bytes) -> Iterator[uuid.UUID]:
    """The values that a binary cell, or one in a binary array, composite or range, may be."""
    cells = (found[1] for found in _UUID_CELL.finditer(value))
    for cell in (value, *cells):
        if len(cell) == _UUID_BYTES and cell[6] >> 4 == _CUSTOM:
            yield uuid.UUID(bytes=cell)


def _parts(value: bytes) -> Iterator[str]:
    """What stands between signs that part values, wherever there is a clue."""
    end = 0
    for clue in _CLUE.finditer(value):
        start = clue.start()
        if start < end:
            continue
        before = _PARTING.split(_said(value[max(0, start - _AROUND) : start]))[-1]
        after = _PARTING.split(_said(value[start : start + _AROUND]), maxsplit=1)[0]
        end = start + len(after)  # bytes of it at least
        yield before + after


def _said(value: bytes) -> str:
    text = value.decode("utf-8", "replace")
    if "\\u" in text:
        text = _UNICODE.sub(lambda escape: chr(int(escape[1], 16)), text)
    return html.unescape(text) if "&" in text else text
