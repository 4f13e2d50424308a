"""MySQL's tokens as a plain text for sqlglot: names and literals stand as token numbers in it.

`SELECT u.ssn AS "x" FROM users u` becomes `SELECT n1 . n3 AS '5' FROM n7 n8`. So sqlglot can't read
a token differently from the server, meets no types and no functions that it has a form of its own
for, and what it makes of the text leads back to tokens. Words that do not matter to what flows
where are left out; what is not listed here is refused. What is never done: send this text anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from policies.sql.mysql.calls import Call, CallWriter
from policies.sql.mysql.cursor import described
from policies.sql.mysql.functions import NILADIC, RESERVED_FUNCTIONS
from policies.sql.mysql.gate import Text
from policies.sql.mysql.lexer import Kind, Token
from policies.sql.mysql.steps import unclear
from policies.sql.mysql.words import (
    COMPARISONS,
    PASSED,
    RESERVED,
    SELECT_OPTIONS,
    SIGNS,
    UNITS,
)
from policies.sql.not_understood import NotUnderstood

_QUERY_STARTS: Final = frozenset({"UNION", "EXCEPT", "INTERSECT", "ALL", "DISTINCT"})
_LITERAL_TYPES: Final = frozenset({"DATE", "TIME", "TIMESTAMP"})
_JOIN_SIDES: Final = frozenset({"LEFT", "RIGHT", "OUTER", "CROSS", "NATURAL", "INNER"})
# They name how a literal's bytes are read, and these read them as the statement does.
_INTRODUCERS: Final = frozenset({"_UTF8MB4", "_UTF8MB3", "_UTF8", "_BINARY"})
_VALUES: Final = frozenset({"TRUE", "FALSE", "NULL", "DEFAULT", "END"})
# Words that mean something of their own in some places: `_word` looks where they stand.
_SPECIAL: Final = UNITS | {
    *("SELECT", "TABLE", "VALUES", "FROM", "LIMIT", "OFFSET", "FOR", "LOCK", "WITH", "ROWS"),
    *("RANGE", "JOIN", "STRAIGHT_JOIN", "USE", "FORCE", "IGNORE", "PARTITION", "CASE", "END"),
    *("INTERVAL", "DATE", "TIME", "TIMESTAMP", "COLLATE", "ESCAPE", "SOUNDS", "MEMBER", "ROW"),
    *("UNKNOWN", "ANY", "SOME"),
}
# Words that mean the same wherever they stand, and are never called.
_ALWAYS: Final[Mapping[str, str]] = MappingProxyType(
    {
        word: written
        for word, written in PASSED.items()
        if word not in _SPECIAL | RESERVED_FUNCTIONS | NILADIC
    }
)
_WORDS: Final = Kind.WORD
_SIGNS: Final = Kind.SIGN
# What AND, OR and NOT say in signs is no operator in the facts, as those are none.
_NO_OPERATORS: Final = frozenset({"(", ")", ",", ".", "?", "||", "&&", "!"})
_OPERATOR_WORDS: Final = frozenset({"LIKE", "RLIKE", "REGEXP", "DIV", "MOD"})
_ALONE: Final = frozenset({"=", "*", "+", "-", "/", "~"})


@dataclass(slots=True)
class _Level:
    """Where the writer is inside one pair of brackets."""

    start: int
    stop: int
    cases: int = 0
    limited: bool = False
    interval: bool = False
    window: bool = False


@dataclass(slots=True)
class PlainText:
    """Writes ranges of one statement's tokens; remembers its calls, its operators and its locks.

    `calls`: by token number, what `f<number>(…)` calls. `locks`: which locks on rows it asks for,
    by where it does. `called`: the reserved words that are functions before a bracket.
    `operators` and `casts` are as `SqlFacts` has them: signs, and words in small letters.
    """

    text: Text
    called: frozenset[str] = RESERVED_FUNCTIONS
    calls: dict[int, Call] = field(default_factory=dict)
    locks: dict[int, str] = field(default_factory=dict)
    operators: set[str] = field(default_factory=set)
    casts: set[str] = field(default_factory=set)
    tokens: Sequence[Token] = field(init=False)
    _calls: CallWriter = field(init=False)

    def __post_init__(self) -> None:
        self.tokens = self.text.tokens
        self._calls = CallWriter(self.text, self.range, self.casts)

    def write(self, start: int, stop: int) -> str:
        return " ".join(piece for piece in self.range(start, stop) if piece)

    def range(self, start: int, stop: int, *, window: bool = False) -> Iterator[str]:
        """The pieces for the tokens of a range that holds whole brackets."""
        level = _Level(start, stop, window=window)
        tokens, index = self.tokens, start
        while index < stop:
            kind, _, _, value, word = tokens[index]
            if kind is _SIGNS and value in _ALONE:
                self._note_sign(index, level)
                yield value
                index += 1
            elif kind is _WORDS and word in _ALWAYS:
                if word in _OPERATOR_WORDS:
                    self.operators.add(word.lower())
                yield _ALWAYS[word]
                index += 1
            else:
                pieces, index = self._piece(index, level)
                yield from pieces

    def _piece(self, index: int, level: _Level) -> tuple[list[str], int]:
        """What stands for the tokens at `index`, and where the next ones begin."""
        kind = self.tokens[index].kind
        if kind is _WORDS or kind is Kind.NAME:
            return self._word(index, level)
        if kind is _SIGNS:
            return self._sign(index, level)
        return [str(index) if kind is Kind.NUMBER else f"'{index}'"], index + 1

    def _note_sign(self, index: int, level: _Level) -> None:
        """Notes an operator; a star may stand for columns, or for rows to count."""
        sign = self.tokens[index].value
        if sign != "*" or self._is_operand(index - 1, level):
            self.operators.add(sign)

    def _sign(self, index: int, level: _Level) -> tuple[list[str], int]:
        token = self.tokens[index]
        if token.value == "(":
            stop = self.text.counterpart[index]
            window = self._word_at(index - 1) == "OVER" or self._defines_window(index)
            return ["(", *self.range(index + 1, stop, window=window), ")"], stop + 1
        if token.value == "." and not self._is_name(index - 1):
            raise unclear("a dot without a name before it", token.start)
        if token.value == ",":
            level.interval = False
        if token.value not in SIGNS:
            raise unclear(described(token), token.start)
        if token.value not in _NO_OPERATORS:
            self.operators.add(token.value)
        return [SIGNS[token.value]], index + 1

    def _word(self, index: int, level: _Level) -> tuple[list[str], int]:
        token, following = self.tokens[index], self._sign_at(index + 1)
        if following == "(" and self._is_call(index):
            return self._call(index, None)
        if following == "." and self._sign_at(index + 3) == "(":
            return self._call(index + 2, token.value)
        if token.word in NILADIC:
            self.calls[index] = Call(None, token.value.lower(), token.start)
            return [f"f{index} ( )"], index + 1
        if token.word in _SPECIAL or token.word[:1] == "_":
            for write in (self._clause, self._table_word, self._length, self._expression_word):
                special = write(index, level)
                if special is not None:
                    return special
        if token.word in PASSED:
            if token.word in _OPERATOR_WORDS:
                self.operators.add(token.word.lower())
            return [PASSED[token.word]], index + 1
        if token.word in RESERVED:
            raise unclear(f"the word {token.word}", token.start)
        return [f"n{index}"], index + 1

    def _call(self, index: int, database: str | None) -> tuple[list[str], int]:
        if not self._names(index):
            raise unclear("this call", self.tokens[index].start)
        call, pieces, end = self._calls.write(index, database)
        self.calls[index] = call
        return pieces, end

    def _clause(self, index: int, level: _Level) -> tuple[list[str], int] | None:
        """What begins a clause whose words sqlglot need not see."""
        match self._word_at(index):
            case "SELECT":
                return ["SELECT"], self._past(index + 1, level.stop, SELECT_OPTIONS)
            case "TABLE" if self._begins_query(index, level):
                return ["SELECT * FROM"], index + 1
            case "VALUES" if self._begins_query(index, level):
                return self._rows(index, level)
            case "FROM" if self._word_at(index + 1) == "DUAL":
                return [], index + 2
            case "LIMIT":
                level.limited = True
                return ["LIMIT"], index + 1
            case "OFFSET" if level.limited:
                return ["OFFSET"], index + 1
            case "FOR" | "LOCK":
                return [], self._past_lock(index, level)
            case "WITH" if self._word_at(index + 1) == "ROLLUP" and not self._names_cte(index + 1):
                return [], index + 2
            case "ROWS" | "RANGE" if level.window:
                return [], self._past_frame(index, level)
            case _:
                return None

    def _table_word(self, index: int, level: _Level) -> tuple[list[str], int] | None:
        """Joins, and what is said of a table besides its name."""
        match self._word_at(index):
            case "JOIN":
                sided = index > level.start and self._word_at(index - 1) in _JOIN_SIDES
                return ["JOIN" if sided else "INNER JOIN"], index + 1
            case "STRAIGHT_JOIN":
                return ["INNER JOIN"], index + 1
            case "USE" | "FORCE" | "IGNORE" if self._word_at(index + 1) in ("INDEX", "KEY"):
                return [], self._past_index_list(index + 2)
            case "PARTITION" if self._sign_at(index + 1) == "(":
                return [], self.text.counterpart[index + 1] + 1
            case _:
                return None

    def _length(self, index: int, level: _Level) -> tuple[list[str], int] | None:
        """Lengths of time, and CASE: what opens with one word and closes with another."""
        match self._word_at(index):
            case "CASE":
                level.cases += 1
                return ["CASE"], index + 1
            case "END" if level.cases:
                level.cases -= 1
                return ["END"], index + 1
            case "INTERVAL":
                level.interval = not self._is_interval_function(index)
                return [], index + 1
            case word if word in UNITS and level.interval and self._is_operand(index - 1, level):
                level.interval = False
                return [], index + 1
            case _:
                return None

    def _expression_word(self, index: int, level: _Level) -> tuple[list[str], int] | None:
        """Words that are keywords only where they stand."""
        token, following = self.tokens[index], self._kind_at(index + 1)
        operand = self._is_operand(index - 1, level)
        match token.word:
            case word if word in _LITERAL_TYPES and following is Kind.STRING:
                return [], index + 1
            case word if word.startswith("_") and following in (Kind.STRING, Kind.NUMBER):
                return [], self._past_introducer(index)
            case "COLLATE" if operand and self._is_collation(index + 1):
                # An expression, so that no output is taken for the column by its name.
                return [f"+ {index}"], index + 2
            case "ESCAPE" if following is Kind.STRING and operand:
                return [], index + 2
            case "SOUNDS" if self._word_at(index + 1) == "LIKE" and operand:
                return [], index + 1
            case "MEMBER" if self._word_at(index + 1) == "OF":
                # Of a document that holds any number of values.
                return ["<"], index + 2
            case "ROW" if following is Kind.SIGN and self._sign_at(index + 1) == "(":
                return [], index + 1
            case "UNKNOWN" if self._is_tested(index):
                return ["NULL"], index + 1
            case "ANY" | "SOME" if self._sign_at(index - 1) in COMPARISONS:
                return ["ANY"], index + 1
            case _:
                return None

    def _is_call(self, index: int) -> bool:
        """Whether the word before a bracket is called, and not a keyword or a named column list."""
        token = self.tokens[index]
        if token.word in RESERVED:
            operator = token.word == "MOD" and self._is_operand(index - 1, None)
            return not operator and (token.word in self.called or token.word in NILADIC)
        if token.word in ("ANY", "SOME") and self._sign_at(index - 1) in COMPARISONS:
            return False
        after = self.text.counterpart[index + 1] + 1
        lists_columns = self._word_at(after) == "AS" and self._sign_at(after + 1) == "("
        named = self._word_at(index - 1) == "AS" or self._sign_at(index - 1) == ")"
        return not lists_columns and not named

    def _begins_query(self, index: int, level: _Level) -> bool:
        before = self._word_at(index - 1)
        first = index == level.start
        return first or before in _QUERY_STARTS or self._sign_at(index - 1) == ")"

    def _rows(self, index: int, level: _Level) -> tuple[list[str], int]:
        """VALUES as a query; in a FROM of its own sqlglot takes it everywhere."""
        pieces = ["SELECT * FROM ( VALUES"]
        here = index + 1
        while True:
            here += self._word_at(here) == "ROW"
            if here >= level.stop or self._sign_at(here) != "(":
                raise unclear("VALUES", self.tokens[index].start)
            stop = self.text.counterpart[here]
            pieces += ["(", *self.range(here + 1, stop), ")"]
            here = stop + 1
            if here >= level.stop or self._sign_at(here) != ",":
                return [*pieces, f") AS n{index}"], here
            pieces.append(",")
            here += 1

    def _past(self, index: int, stop: int, words: frozenset[str]) -> int:
        while index < stop and self._word_at(index) in words:
            index += 1
        return index

    def _past_index_list(self, index: int) -> int:
        if self._word_at(index) == "FOR":
            index += 2 if self._word_at(index + 1) == "JOIN" else 3
        if self._sign_at(index) != "(":
            raise unclear("this index hint", self.tokens[index - 1].start)
        return self.text.counterpart[index] + 1

    def _past_lock(self, index: int, level: _Level) -> int:
        """FOR UPDATE, FOR SHARE and LOCK IN SHARE MODE, which end a query."""
        words = [self._word_at(i) for i in range(index, level.stop)]
        if words[:4] == ["LOCK", "IN", "SHARE", "MODE"]:
            self.locks[self.tokens[index].start] = "for_share"
            return index + 4
        if words[:2] not in (["FOR", "UPDATE"], ["FOR", "SHARE"]):
            raise unclear(f"the word {words[0]}", self.tokens[index].start)
        self.locks[self.tokens[index].start] = f"for_{words[1].lower()}"
        here = index + 2
        if self._word_at(here) == "OF":
            raise unclear("OF", self.tokens[here].start)
        if self._word_at(here) == "NOWAIT":
            return here + 1
        return here + 2 if words[2:4] == ["SKIP", "LOCKED"] else here

    def _past_frame(self, index: int, level: _Level) -> int:
        for token in self.tokens[index : level.stop]:
            plain = token.kind in (Kind.WORD, Kind.NUMBER, Kind.STRING) or token.value == "?"
            if not plain:
                raise unclear("this window frame", token.start)
        return level.stop

    def _past_introducer(self, index: int) -> int:
        if self._word_at(index) not in _INTRODUCERS:
            raise _charset(self.tokens[index])
        return index + 1

    def _is_interval_function(self, index: int) -> bool:
        """INTERVAL(5, 1, 10) compares; INTERVAL (1) DAY is a length of time."""
        if self._sign_at(index + 1) != "(":
            return False
        depth = 0
        for here in range(index + 1, self.text.counterpart[index + 1]):
            depth += {"(": 1, ")": -1}.get(self._sign_at(here), 0)
            if depth == 1 and self._sign_at(here) == ",":
                return True
        return False

    def _defines_window(self, index: int) -> bool:
        """WINDOW w AS (…), w AS (…): their brackets hold frames too."""
        if self._word_at(index - 1) != "AS":
            return False
        return not self._begins_select(index + 1) and self._word_at(index - 3) in ("WINDOW", "")

    def _begins_select(self, index: int) -> bool:
        return self._word_at(index) in ("SELECT", "WITH", "VALUES", "TABLE")

    def _is_name(self, index: int) -> bool:
        return self._names(index) and self._word_at(index) not in RESERVED

    def _is_tested(self, index: int) -> bool:
        """IS UNKNOWN, IS NOT UNKNOWN."""
        before = index - 1 - (self._word_at(index - 1) == "NOT")
        return self._word_at(before) == "IS"

    def _is_collation(self, index: int) -> bool:
        word = self._word_at(index)
        named = self._kind_at(index) in (Kind.NAME, Kind.WORD, Kind.STRING)
        return named and (word == "BINARY" or word not in RESERVED)

    def _names_cte(self, index: int) -> bool:
        return self._word_at(index + 1) == "AS" or self._sign_at(index + 1) == "("

    def _names(self, index: int) -> bool:
        return self._kind_at(index) in (Kind.WORD, Kind.NAME)

    def _is_operand(self, index: int, level: _Level | None) -> bool:
        """Whether a value ends at this token."""
        if index < (level.start if level else 0):
            return False
        token = self.tokens[index]
        if token.kind is Kind.SIGN:
            return token.value in (")", "?")
        return token.word not in RESERVED or token.word in _VALUES or token.word in NILADIC

    def _kind_at(self, index: int) -> Kind | None:
        return self.tokens[index].kind if 0 <= index < len(self.tokens) else None

    def _word_at(self, index: int) -> str:
        return self.tokens[index].word if 0 <= index < len(self.tokens) else ""

    def _sign_at(self, index: int) -> str:
        if not 0 <= index < len(self.tokens):
            return ""
        kind, _, _, value, _ = self.tokens[index]
        return value if kind is _SIGNS else ""


def _charset(token: Token) -> NotUnderstood:
    return NotUnderstood("SQL_CHARSET", f"the character set {token.value}", token.start)
