"""One example of every message of PostgreSQL's protocol, and strategies for any other."""

from __future__ import annotations

from hypothesis import strategies as st

from recordings.events import Column
from server.protocols.postgres import backend as b
from server.protocols.postgres import frontend as f

text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
content = st.binary(max_size=40)
terminated = content.map(lambda value: value.replace(b"\0", b"x"))
oids = st.integers(0, 2**32 - 1)
formats = st.sampled_from([0, 1])


@st.composite
def binds(draw: st.DrawFn) -> f.Bind:
    values = tuple(draw(st.lists(st.none() | content, max_size=4)))
    counts = st.sampled_from(sorted({0, 1, len(values)}))
    codes = tuple(draw(formats) for _ in range(draw(counts)))
    results = tuple(draw(st.lists(formats, max_size=3)))
    return f.Bind(draw(text), draw(text), codes, values, results)


commands = st.one_of(
    st.builds(f.Query, text),
    st.builds(f.Parse, text, text, st.lists(oids, max_size=3).map(tuple)),
    binds(),
    st.builds(f.Describe, st.sampled_from("SP"), text),
    st.builds(f.Close, st.sampled_from("SP"), text),
    st.builds(f.Execute, text, st.integers(-(2**31), 2**31 - 1)),
    st.just(f.Flush()),
    st.just(f.Sync()),
    st.just(f.Terminate()),
    st.builds(f.CopyData, content),
    st.just(f.CopyDone()),
    st.builds(f.CopyFail, text),
    st.builds(f.FunctionCall, content),
)

columns = st.builds(
    Column,
    name=text,
    type=oids,
    table=oids,
    number=st.integers(-(2**15), 2**15 - 1),
    modifier=st.integers(-(2**31), 2**31 - 1),
    size=st.integers(-(2**15), 2**15 - 1),
    binary=st.booleans(),
)
reports = st.lists(
    st.tuples(st.characters(min_codepoint=1, max_codepoint=255), terminated), max_size=4
).map(tuple)
copies = st.tuples(st.integers(0, 255), st.lists(st.integers(0, 65535), max_size=3).map(tuple))

replies = st.one_of(
    st.builds(b.AuthenticationRequest, oids, content),
    st.builds(b.BackendKeyData, oids, content),
    st.builds(b.ParameterStatus, text, text),
    st.builds(b.NegotiateProtocolVersion, oids, st.lists(text, max_size=3).map(tuple)),
    st.builds(b.ReadyForQuery, st.sampled_from("ITE")),
    st.builds(b.RowDescription, st.lists(columns, max_size=3).map(tuple)),
    st.builds(b.ParameterDescription, st.lists(oids, max_size=3).map(tuple)),
    st.builds(b.CommandComplete, text),
    st.sampled_from([b.ParseComplete(), b.BindComplete(), b.CloseComplete(), b.NoData()]),
    st.sampled_from([b.PortalSuspended(), b.EmptyQueryResponse(), b.CopyOutDone()]),
    st.builds(b.ErrorResponse, reports),
    st.builds(b.NoticeResponse, reports),
    st.builds(b.NotificationResponse, oids, text, text),
    copies.map(lambda parts: b.CopyInResponse(*parts)),
    copies.map(lambda parts: b.CopyOutResponse(*parts)),
    copies.map(lambda parts: b.CopyBothResponse(*parts)),
    st.builds(b.FunctionCallResponse, st.none() | content),
)

# Written out by hand from PostgreSQL's "Message Formats", not by our encoder.
FRONTEND_CASES: list[tuple[bytes, f.Command]] = [
    (b"Q\0\0\0\x0dSELECT 1\0", f.Query("SELECT 1")),
    (b"P\0\0\0\x13s\0SELECT\0\0\x01\0\0\0\x17", f.Parse("s", "SELECT", (23,))),
    (
        b"B\0\0\0\x1bp\0s\0\0\x01\0\x01\0\x02\0\0\0\x01a\xff\xff\xff\xff\0\x01\0\x00",
        f.Bind("p", "s", (1,), (b"a", None), (0,)),
    ),
    (b"D\0\0\0\x07Ss\0", f.Describe("S", "s")),
    (b"C\0\0\0\x07Pp\0", f.Close("P", "p")),
    (b"E\0\0\0\x0ap\0\0\0\0\x05", f.Execute("p", 5)),
    (b"H\0\0\0\x04", f.Flush()),
    (b"S\0\0\0\x04", f.Sync()),
    (b"X\0\0\0\x04", f.Terminate()),
    (b"d\0\0\0\x071\t\n", f.CopyData(b"1\t\n")),
    (b"c\0\0\0\x04", f.CopyDone()),
    (b"f\0\0\0\x08why\0", f.CopyFail("why")),
    (b"F\0\0\0\x05x", f.FunctionCall(b"x")),
]

BACKEND_CASES: list[tuple[bytes, b.BackendMessage]] = [
    (
        b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0",
        b.AuthenticationRequest(10, b"SCRAM-SHA-256\0\0"),
    ),
    (b"K\0\0\0\x0c\0\0\0\x07key!", b.BackendKeyData(7, b"key!")),
    (b"S\0\0\0\x11TimeZone\0UTC\0", b.ParameterStatus("TimeZone", "UTC")),
    (b"Z\0\0\0\x05T", b.ReadyForQuery("T")),
    (
        b"T\0\0\0\x1b\0\x01id\0\0\0\x40\x01\0\x02\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0",
        b.RowDescription((Column("id", 23, 16385, 2, -1, 4),)),
    ),
    (b"t\0\0\0\x0a\0\x01\0\0\0\x17", b.ParameterDescription((23,))),
    (b"C\0\0\0\x0dSELECT 1\0", b.CommandComplete("SELECT 1")),
    (b"1\0\0\0\x04", b.ParseComplete()),
    (b"2\0\0\0\x04", b.BindComplete()),
    (b"3\0\0\0\x04", b.CloseComplete()),
    (b"n\0\0\0\x04", b.NoData()),
    (b"s\0\0\0\x04", b.PortalSuspended()),
    (b"I\0\0\0\x04", b.EmptyQueryResponse()),
    (b"E\0\0\0\x0eC42501\0M\0\0", b.ErrorResponse((("C", b"42501"), ("M", b"")))),
    (b"N\0\0\0\x0aMhey\0\0", b.NoticeResponse((("M", b"hey"),))),
    (b"A\0\0\0\x0c\0\0\0\x07ch\0\0", b.NotificationResponse(7, "ch", "")),
    (b"G\0\0\0\x09\0\0\x01\0\0", b.CopyInResponse(0, (0,))),
    (b"H\0\0\0\x07\0\0\0", b.CopyOutResponse(0, ())),
    (b"W\0\0\0\x07\x01\0\0", b.CopyBothResponse(1, ())),
    (b"c\0\0\0\x04", b.CopyOutDone()),
    (b"V\0\0\0\x08\xff\xff\xff\xff", b.FunctionCallResponse(None)),
    (b"v\0\0\0\x0c\0\x03\0\0\0\0\0\0", b.NegotiateProtocolVersion(196608, ())),
]
