"""Which tokens of one statement are secrets, by where they stand; literals are not looked into.

The names of settings and options that say "password" are known, and PostgreSQL's, MySQL's and
pgcrypto's own forms. A column of that name is not: what is compared with it is evidence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, takewhile
from typing import Final

from policies.sql.secret_texts import names_a_header, names_a_secret
from policies.sql.tokens import Kind, Token, content

REMOVED: Final = "[removed]"

MOST_STEPS: Final = 200_000
"""Tokens looked at in all arguments; beyond it every literal of the statement is removed."""

_LITERAL_MARK: Final = f"'{REMOVED}'"
_ROLES: Final = frozenset({"user", "role", "group"})
_WITH_OPTIONS: Final = _ROLES | frozenset(
    {"credential", "database", "external", "foreign", "secret", "server", "subscription", "system"}
)
_BEFORE_OTHER_LITERALS: Final = frozenset({"until", "to", "=", ",", "@", "exists", *_ROLES})
_ASSIGNS: Final = frozenset({"=", "to", "by", "as", "using", "("})
_SECRET_ARGUMENTS: Final[dict[str, tuple[int, ...]]] = {
    "crypt": (0,),
    "password": (0,),
    "old_password": (0,),
    "aes_encrypt": (1,),
    "aes_decrypt": (1,),
    "encrypt": (1,),
    "encrypt_iv": (1,),
    "decrypt": (1,),
    "decrypt_iv": (1,),
    "hmac": (1,),
    "pgp_sym_encrypt": (1,),
    "pgp_sym_encrypt_bytea": (1,),
    "pgp_sym_decrypt": (1,),
    "pgp_sym_decrypt_bytea": (1,),
    "pgp_pub_decrypt": (1, 2),
    "pgp_pub_decrypt_bytea": (1, 2),
}
"""Which arguments are keys or passwords (PostgreSQL manual F.26; MySQL manual 14.13)."""


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Characters of the statement, from `start` to before `end`, and what is put in their place."""

    start: int
    end: int
    mark: str = REMOVED


@dataclass(slots=True)
class Found:
    """What one text holds; `unfinished` when its last statement still waits for its secret."""

    spans: list[Span] = field(default_factory=list)
    parameters: set[int] = field(default_factory=set)
    unfinished: bool = False
    steps: int = 0

    def take(self, token: Token) -> None:
        """This token's value is a secret."""
        match token.kind:
            case Kind.PARAMETER:
                self.parameters.add(int(token.value[:6]))
            case Kind.QUOTED:
                self.spans.append(Span(token.start, token.end, f'"{REMOVED}"'))
            case _:
                self.spans.append(Span(token.start, token.end, _LITERAL_MARK))

    def take_values(self, line: Sequence[Token]) -> None:
        for token in line:
            if token.kind in (Kind.LITERAL, Kind.PARAMETER):
                self.take(token)


def search_line(line: list[Token], found: Found) -> None:
    """Everything that stands in a secret position of one statement, given without comments."""
    for rule in _RULES:
        rule(line, found)
    if found.steps > MOST_STEPS:
        found.take_values(line)


def is_unfinished(line: Sequence[Token], end: int) -> bool:
    """Whether a statement in a literal of `end` characters leaves its secret to what follows."""
    if not line or not _sets_up(line):
        return False
    waits = any(
        _is_secret_name(token) and word(line, position + 1) in ("", "%", "=", "to", "by")
        for position, token in enumerate(line)
    )
    ends_in_literal = line[-1].kind is Kind.LITERAL and line[-1].end == end
    return waits or (ends_in_literal and any(map(_is_secret_name, line)))


def word(line: Sequence[Token], position: int) -> str:
    """The token's value; empty past the end."""
    return line[position].value if position < len(line) else ""


def argument(line: list[Token], start: int, wanted: int, found: Found) -> list[Token]:
    """One argument of a call whose first argument begins at `start`."""
    up_to = takewhile(lambda numbered: numbered[0] <= wanted, arguments(line, start, found))
    return [token for number, token in up_to if number == wanted]


def arguments(line: list[Token], start: int, found: Found) -> Iterator[tuple[int, Token]]:
    """Tokens from `start` to the end of the brackets around it, with their argument's number."""
    depth = number = 0
    for position in range(start, len(line)):
        found.steps += 1
        if found.steps > MOST_STEPS:
            return
        token = line[position]
        sign = token.value if token.kind is Kind.SIGN else ""
        depth += (sign in ("(", "[")) - (sign in (")", "]"))
        if depth < 0:
            return
        if sign == "," and depth == 0:
            number += 1
        else:
            yield number, token


def _is_name(token: Token) -> bool:
    return token.kind in (Kind.WORD, Kind.QUOTED)


def _is_secret_name(token: Token) -> bool:
    return _is_name(token) and names_a_secret(token.value)


def _sets_up(line: Sequence[Token]) -> bool:
    """Whether the statement sets something up, so that `name = 'value'` is no comparison."""
    first = word(line, 0)
    if first in ("alter", "create"):
        return word(line, 1) in _WITH_OPTIONS
    return first in ("set", "change", "start", "grant")


def _options(line: list[Token], found: Found) -> None:
    """`PASSWORD 'x'`, `OPTIONS (password 'x')`, with all literals that go on from the first.

    Where a literal runs straight into a word, a quotation mark was not doubled: then all the rest.
    """
    taking = False
    for before, token in pairwise(line):
        if taking and token.start == before.end and token.kind is not Kind.SIGN:
            found.spans.append(Span(token.start, line[-1].end))
            return
        taking = token.kind is Kind.LITERAL and (taking or _is_secret_name(before))
        if taking:
            found.take(token)


def _assignments(line: list[Token], found: Found) -> None:
    """`SET x.token = 'x'` to its end, and what is assigned in ALTER, CREATE and CHANGE."""
    if not _sets_up(line):
        return
    is_set = word(line, 0) == "set"
    for position, token in enumerate(line):
        if not _is_secret_name(token) or word(line, position + 1) not in _ASSIGNS:
            continue
        rest = line[position + 2 :]
        found.take_values(rest if is_set else rest[:1])
        if is_set:
            _take_bare(rest, found)
            return


def _take_bare(line: list[Token], found: Found) -> None:
    """A setting's value may stand there without quotation marks."""
    for token in line:
        if token.kind is Kind.NUMBER or (_is_name(token) and token.value != "default"):
            found.take(token)


def _identified(line: list[Token], found: Found) -> None:
    """MySQL's `IDENTIFIED WITH plugin BY 'x'`, whose strings may stand in double quotes.

    Elsewhere than in its statements about accounts what stands in them is a name, and runs:
    `INSERT INTO t AS identified WITH …`.
    """
    strings = (Kind.LITERAL, Kind.QUOTED) if _is_about_account(line) else (Kind.LITERAL,)
    identified = False
    for before, token in pairwise(line):
        begins = before.value == "identified" and token.value in ("by", "via", "with")
        identified = token.value != "," and (identified or begins)
        if identified and token.kind in strings:
            found.take(token)


def _is_about_account(line: Sequence[Token]) -> bool:
    """`GRANT …`, `ALTER USER …`, `CREATE OR REPLACE USER …`."""
    first, about = word(line, 0), {token.value for token in line[1:4]}
    return first == "grant" or (first in ("alter", "create") and not _ROLES.isdisjoint(about))


def _roles(line: list[Token], found: Found) -> None:
    """In a statement about a role every literal that is nothing else, and a password unquoted."""
    about_role = word(line, 0) in ("alter", "create") and word(line, 1) in _ROLES
    if not about_role or word(line, 2) == "mapping":
        return
    for before, token in pairwise(line):
        literal = token.kind is Kind.LITERAL and before.value not in _BEFORE_OTHER_LITERALS
        password = before.value == "password" and token.value != "null"
        if literal or (password and token.kind is not Kind.SIGN):
            found.take(token)


def _calls(line: list[Token], found: Found) -> None:
    """Keys and passwords that are arguments; `set_config` of a setting named like one."""
    for position, token in enumerate(line):
        if not _is_name(token) or word(line, position + 1) != "(":
            continue
        if token.value == "set_config":
            _set_config(line, position + 2, found)
        for wanted in _SECRET_ARGUMENTS.get(token.value, ()):
            found.take_values(argument(line, position + 2, wanted, found))


def _set_config(line: list[Token], start: int, found: Found) -> None:
    every = [token for _, token in arguments(line, start, found)]
    literals = (t for t in every if t.kind is Kind.LITERAL)
    name = next((t for t in literals if names_a_secret(content(t).text)), None)
    if name is not None:
        found.take_values([t for t in every if t is not name])


def _header_pairs(line: list[Token], found: Found) -> None:
    """`http_header('Authorization', 'x')`: a header's name, and as the next argument its value."""
    for position, token in enumerate(line):
        named = token.kind is Kind.LITERAL and names_a_header(content(token).text)
        if named and word(line, position + 1) == ",":
            found.take_values(argument(line, position + 2, 0, found))


_RULES: Final[tuple[Callable[[list[Token], Found], None], ...]] = (
    _options,
    _assignments,
    _identified,
    _roles,
    _calls,
    _header_pairs,
)
