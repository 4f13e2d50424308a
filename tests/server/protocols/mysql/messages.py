"""Examples of MySQL's messages, as documentation has them, and strategies for others."""

from __future__ import annotations

from typing import Final

from hypothesis import strategies as st

from masking import mysql_types as t
from server.protocols.mysql import answers as a
from server.protocols.mysql import capabilities as c
from server.protocols.mysql import commands as m
from server.protocols.mysql.handshake import Greeting, HandshakeResponse
from server.protocols.mysql.parameters import Kind, Parameter

ALL: Final = c.OFFERED
PLAIN: Final = c.OFFERED & ~(c.QUERY_ATTRIBUTES | c.SESSION_TRACK | c.DEPRECATE_EOF)

COMMAND_CASES: Final = [
    (b"\x01", m.Quit()),
    (b"\x02test", m.InitDb("test")),
    (b"\x03select 1", m.Query("select 1")),
    (b"\x04t\0%", m.FieldList("t", "%")),
    (b"\x09", m.Statistics()),
    (b"\x0c\x05\0\0\0", m.ProcessKill(5)),
    (b"\x0e", m.Ping()),
    (
        b"\x11ada\0\x02xydb\0\x2d\0plug\0\x04\x01k\x01v",
        m.ChangeUser("ada", b"xy", "db", 45, "plug", (("k", "v"),)),
    ),
    (b"\x16select ?", m.StmtPrepare("select ?")),
    (b"\x17\x01\0\0\0\x01\x01\0\0\0rest", m.StmtExecute(1, m.CURSOR_READ_ONLY, b"rest")),
    (b"\x18\x01\0\0\0\x02\0piece", m.StmtSendLongData(1, 2, b"piece")),
    (b"\x19\x01\0\0\0", m.StmtClose(1)),
    (b"\x1a\x01\0\0\0", m.StmtReset(1)),
    (b"\x1b\x01\0", m.SetOption(1)),
    (b"\x1c\x01\0\0\0\x0a\0\0\0", m.StmtFetch(1, 10)),
    (b"\x1f", m.ResetConnection()),
]

ATTRIBUTES: Final = (
    Parameter(Kind(t.LONGLONG, unsigned=True, name="id"), b"\x07" + bytes(7)),
    Parameter(Kind(t.VAR_STRING, name="trace"), b"abc"),
    Parameter(Kind(t.VAR_STRING, name="none"), None),
)

# Source: MySQL's protocol documentation, "OK_Packet", "ERR_Packet", "EOF_Packet", and captures.
ANSWER_CASES: Final = [
    (PLAIN, b"\0\0\0\x02\0\0\0", a.Ok()),
    (PLAIN, b"\0\x01\xfd\0\0\x01\x02\0\x03\0hello", a.Ok(1, 65536, 2, 3, b"hello")),
    (
        ALL,
        b"\0\0\0\x02\x40\0\0\0\x07\x01\x05\x04test",
        a.Ok(status=0x4002, changes=(a.Change(1, b"\x04test"),)),
    ),
    (ALL, b"\xfe\0\0\x02\0\0\0", a.Ok(ends_rows=True)),
    (PLAIN, b"\xfe\x01\0\x22\0", a.Eof(1, 0x22)),
    (
        PLAIN,
        b"\xff\x48\x04#HY000No tables used",
        a.Err(1096, "HY000", "No tables used"),
    ),
    (PLAIN, b"\xff\x10\x04Too many connections", a.Err(1040, "", "Too many connections")),
    (
        PLAIN,
        b"\x03def\x04test\x01e\x05every\x02vc\x04name\x0c\x2d\0\xb0\x04\0\0\xfd\x01\0\x00\0\0",
        a.ColumnDefinition("vc", 253, "test", "e", "every", "name", 45, 1200, 1, 0),
    ),
    (PLAIN, b"\0\x01\0\0\0\x02\0\x03\0\0\0\0", a.PrepareOk(1, 2, 3)),
    (PLAIN, b"\x05", a.ColumnCount(5)),
]

text = st.text(st.characters(codec="utf-8"), max_size=20)
named = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
content = st.binary(max_size=300)
numbers = st.integers(0, 2**32 - 1)
pairs = st.lists(st.tuples(text, text), max_size=3).map(tuple)


@st.composite
def parameters(draw: st.DrawFn) -> Parameter:
    kind = draw(
        st.sampled_from([t.TINY, t.SHORT, t.LONG, t.LONGLONG, t.DOUBLE, t.BLOB, t.DATETIME])
    )
    size = {t.TINY: 1, t.SHORT: 2, t.LONG: 4, t.LONGLONG: 8, t.DOUBLE: 8}.get(kind)
    if kind == t.DATETIME:
        size = draw(st.sampled_from([0, 4, 7, 11]))
    value = content if size is None else st.binary(min_size=size, max_size=size)
    name = draw(text)
    return Parameter(Kind(kind, draw(st.booleans()), name), draw(st.none() | value))


listed = st.one_of(
    st.builds(m.InitDb, text),
    st.builds(m.Query, text, st.lists(parameters(), max_size=10).map(tuple)),
    st.builds(m.FieldList, named, text),
    st.builds(m.ProcessKill, numbers),
    st.builds(
        m.ChangeUser, named, st.binary(max_size=255), named, st.integers(0, 65535), named, pairs
    ),
    st.builds(m.StmtPrepare, text),
    st.builds(m.StmtExecute, numbers, st.sampled_from([0, 1, 8, 9]), content),
    st.builds(m.StmtSendLongData, numbers, st.integers(0, 65535), content),
    st.builds(m.StmtClose, numbers),
    st.builds(m.StmtFetch, numbers, numbers),
    st.sampled_from([m.Quit(), m.Ping(), m.Statistics(), m.ResetConnection(), m.SetOption(0)]),
)

changes = st.lists(st.builds(a.Change, st.integers(0, 250), content), min_size=1, max_size=3)
oks = st.one_of(
    st.builds(
        a.Ok,
        *(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), st.integers(0, 0x3FFF)),
        *(st.integers(0, 65535), content, st.just(()), st.booleans()),
    ),
    st.builds(a.Ok, status=st.just(0x4000), info=content, changes=changes.map(tuple)),
)
columns = st.builds(
    a.ColumnDefinition,
    *(text, st.integers(0, 255), text, text, text, text, st.integers(0, 65535), numbers),
    *(st.integers(0, 65535), st.integers(0, 255)),
)

SALT: Final = bytes(range(1, 21))
GREETING: Final = Greeting("8.0.40", 7, SALT, c.OFFERED | c.SSL)
LOGIN: Final = HandshakeResponse(
    *(c.OFFERED, "ada+shop", b"x" * 20, "shop", "mysql_native_password", (("_os", "Linux"),))
)
