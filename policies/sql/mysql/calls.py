"""Function calls in the plain text: every form that MySQL has becomes `f<token number>(a, b, …)`.

What a form names besides its arguments (types, units, character sets) is checked and left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from policies.sql.mysql.cursor import find, split
from policies.sql.mysql.functions import TOUCHING
from policies.sql.mysql.gate import Text
from policies.sql.mysql.lexer import Kind, Token
from policies.sql.mysql.steps import unclear
from policies.sql.mysql.words import RESERVED, UNITS
from policies.sql.not_understood import NotUnderstood

# Words that stand between the arguments of these functions, or before the first.
_SEPARATORS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "trim": frozenset({"BOTH", "LEADING", "TRAILING", "FROM"}),
        "substring": frozenset({"FROM", "FOR"}),
        "substr": frozenset({"FROM", "FOR"}),
        "mid": frozenset({"FROM", "FOR"}),
        "position": frozenset({"IN"}),
        "group_concat": frozenset({"DISTINCT", "ORDER", "BY", "SEPARATOR"}),
        "json_arrayagg": frozenset({"DISTINCT", "ORDER", "BY"}),
    }
)
_FORMATS: Final = frozenset({"DATE", "TIME", "DATETIME", "TIMESTAMP"})
_UNIT_FIRST: Final = frozenset({"timestampadd", "timestampdiff"})
_MODIFIERS: Final = (
    ("IN", "NATURAL", "LANGUAGE", "MODE", "WITH", "QUERY", "EXPANSION"),
    ("IN", "NATURAL", "LANGUAGE", "MODE"),
    ("IN", "BOOLEAN", "MODE"),
    ("WITH", "QUERY", "EXPANSION"),
)
_TYPE_KINDS: Final = frozenset({Kind.WORD, Kind.NUMBER, Kind.SIGN})


@dataclass(frozen=True, slots=True)
class Call:
    """What is called, as it stands in the text; `columns` are those of a JSON_TABLE."""

    database: str | None
    name: str
    location: int
    columns: tuple[str, ...] = ()


Written = tuple[Call, list[str], int]


class CallWriter:
    """Writes calls; their arguments are written by `write_range`. `casts` gains types cast to."""

    def __init__(
        self, text: Text, write_range: Callable[[int, int], Iterator[str]], casts: set[str]
    ) -> None:
        self._casts = casts
        self._text = text
        self._tokens = text.tokens
        self._range = write_range

    def write(self, index: int, database: str | None) -> Written:
        """The call whose name stands at `index`: what it is, its pieces, where it ends."""
        token = self._tokens[index]
        start, stop = index + 2, self._text.counterpart[index + 1]
        name = token.value if database is not None else token.value.lower()
        call = Call(database, name, token.start)
        if database is None:
            _refuse_gap(name, token, self._tokens[index + 1])
            if name == "match":
                return self._match(index, call, stop)
            if name == "json_table":
                return self._json_table(index, call, stop)
        arguments = self._arguments(name if database is None else "", start, stop)
        return call, [f"f{index} (", *arguments, ")"], stop + 1

    def _arguments(self, name: str, start: int, stop: int) -> list[str]:
        if name in _SEPARATORS:
            return self._separated(start, stop, _SEPARATORS[name])
        match name:
            case "cast":
                return self._before_type(start, stop, find(self._text, start, stop, "AS"))
            case "convert":
                return self._converted(start, stop)
            case "extract":
                return self._extracted(start, stop)
            case "char" if find(self._text, start, stop, "USING") is not None:
                return self._before_type(start, stop, find(self._text, start, stop, "USING"))
            case "get_format" if self._tokens[start].word not in _FORMATS:
                raise unclear("this GET_FORMAT", self._tokens[start].start)
            case _ if name in _UNIT_FIRST:
                return self._past_unit(start, stop)
            case "get_format":
                return list(self._range(start + 2, stop))
        start += stop > start and self._tokens[start].word in ("DISTINCT", "ALL")
        if stop == start + 1 and self._tokens[start].value == "*":
            return []
        return list(self._range(start, stop))

    def _separated(self, start: int, stop: int, words: frozenset[str]) -> list[str]:
        """The arguments with commas in place of the words between them."""
        found: list[list[str]] = []
        begin = index = start
        while index <= stop:
            if index == stop or self._tokens[index].word in words:
                found += [list(self._range(begin, index))] if index > begin else []
                begin = index + 1
            elif self._is_sign(index, "("):
                index = self._text.counterpart[index]
            index += 1
        return [piece for pieces in found for piece in (",", *pieces)][1:]

    def _before_type(self, start: int, stop: int, end: int | None) -> list[str]:
        """The value before `AS type` or `USING charset`; what is no type's word is refused."""
        if end is None:
            raise unclear("this conversion", self._tokens[start - 1].start)
        using = self._tokens[end].word == "USING"
        for token in self._tokens[end + 1 : stop]:
            sign = token.kind is Kind.SIGN and token.value not in ("(", ")", ",")
            if sign or token.kind not in _TYPE_KINDS or token.word in ("SELECT", "FROM"):
                raise unclear("this type", token.start)
        if not using:
            words = (token.word for token in self._tokens[end + 1 : stop])
            self._casts.add(" ".join(word.lower() for word in words if word))
        return list(self._range(start, end))

    def _converted(self, start: int, stop: int) -> list[str]:
        end = find(self._text, start, stop, "USING")
        if end is None:
            end = next(iter(split(self._text, start, stop)))[1]
        return self._before_type(start, stop, end if end < stop else None)

    def _extracted(self, start: int, stop: int) -> list[str]:
        if self._tokens[start].word not in UNITS or self._tokens[start + 1].word != "FROM":
            raise unclear("this EXTRACT", self._tokens[start].start)
        return list(self._range(start + 2, stop))

    def _past_unit(self, start: int, stop: int) -> list[str]:
        if self._tokens[start].word not in UNITS or not self._is_sign(start + 1, ","):
            raise unclear("this unit", self._tokens[start].start)
        return list(self._range(start + 2, stop))

    def _match(self, index: int, call: Call, stop: int) -> Written:
        """MATCH (columns) AGAINST (text modifier): a call with all of them."""
        if self._tokens[stop + 1].word != "AGAINST" or not self._is_sign(stop + 2, "("):
            raise unclear("MATCH without AGAINST", call.location)
        start, end = stop + 3, self._text.counterpart[stop + 2]
        words = tuple(token.word for token in self._tokens[start:end])
        cut = next((len(m) for m in _MODIFIERS if words[-len(m) :] == m), 0)
        text = self._range(start, end - cut)
        pieces = [f"f{index} (", *self._range(index + 2, stop), ",", *text, ")"]
        return call, pieces, end + 1

    def _json_table(self, index: int, call: Call, stop: int) -> Written:
        columns = find(self._text, index + 2, stop, "COLUMNS")
        if columns is None or not self._is_sign(columns + 1, "("):
            raise unclear("this JSON_TABLE", call.location)
        if self._text.counterpart[columns + 1] != stop - 1:
            raise unclear("this JSON_TABLE", call.location)
        named = tuple(self._column_names(columns + 1))
        found = Call(None, call.name, call.location, named)
        return found, [f"f{index} (", *self._range(index + 2, columns), ")"], stop + 1

    def _column_names(self, opening: int) -> Iterator[str]:
        """The names in COLUMNS (…), nested ones too."""
        for start, stop in split(self._text, opening + 1, self._text.counterpart[opening]):
            if start == stop:
                raise unclear("this JSON_TABLE", self._tokens[opening].start)
            if self._tokens[start].word == "NESTED":
                nested = find(self._text, start, stop, "COLUMNS")
                if nested is None or not self._is_sign(nested + 1, "("):
                    raise unclear("this JSON_TABLE", self._tokens[start].start)
                yield from self._column_names(nested + 1)
            else:
                yield self._column_name(start, stop)

    def _column_name(self, start: int, stop: int) -> str:
        first = self._tokens[start]
        if first.kind not in (Kind.NAME, Kind.WORD) or first.word in RESERVED:
            raise unclear("this JSON_TABLE", first.start)
        for token in self._tokens[start:stop]:
            if token.word == "SELECT" or token.kind is Kind.VARIABLE:
                raise unclear("this JSON_TABLE", token.start)
        return first.value

    def _is_sign(self, index: int, sign: str) -> bool:
        token = self._tokens[index] if index < len(self._tokens) else None
        return token is not None and token.kind is Kind.SIGN and token.value == sign


def _refuse_gap(name: str, token: Token, bracket: Token) -> None:
    if name in TOUCHING and token.end != bracket.start:
        raise NotUnderstood(
            "FUNCTION_NOT_ALLOWED", f"a blank stands between {name} and its bracket", token.start
        )
