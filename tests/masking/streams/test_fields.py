"""HTTP fields by name, bodies by what their fields say, channels side by side, CSV cell by cell."""

from __future__ import annotations

import random

import pytest

from masking.scanning import StreamFinder
from masking.streams.bodies import Unsearchable, body_stream
from masking.streams.channels import Channels
from masking.streams.headers import masked_fields
from masking.streams.searching import Searches
from masking.streams.stream import table_stream, text_stream
from tests.masking.streams.feeding import CARD, EMAIL, chunked, fed

pytestmark = pytest.mark.anyio

GONE = "<AUTH_HEADER>"


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("Authorization", "Bearer abc.def", f"Bearer {GONE}"),
        ("authorization", "opaque", GONE),
        ("Proxy-Authorization", "Basic YTpi", f"Basic {GONE}"),
        ("Cookie", "a=1; sid=xyzzy; theme=dark", f"a={GONE}; sid={GONE}; theme={GONE}"),
        ("Set-Cookie", "sid=x; Path=/; HttpOnly", f"sid={GONE}; Path=/; HttpOnly"),
        ("X-Api-Key", "k", GONE),
        ("X-Acme-Token", "k", GONE),
        ("X-Vault-Token", "hvs.k", GONE),
        ("Location", "/cb?code=xyz&a=1#access_token=t", f"/cb?code={GONE}&a=1#access_token={GONE}"),
        ("Location", "https://u:p@h/x", f"https://{GONE}@h/x"),
        ("Location", f"/users/{EMAIL}", "/users/<EMAIL_ADDRESS>"),
        ("X-Request-Id", "7f0c", "7f0c"),
        ("X-User", EMAIL, "<EMAIL_ADDRESS>"),
        ("Content-Type", "text/html; charset=utf-8", "text/html; charset=utf-8"),
        ("ETag", '"33a64df5"', '"33a64df5"'),
    ],
)
async def test_fields_go_by_their_names(
    finder: StreamFinder, name: str, value: str, expected: str
) -> None:
    assert (await masked_fields([(name, value)], Searches(finder)))[0] == [(name, expected)]


async def test_trailers_are_fields_and_what_went_is_counted(finder: StreamFinder) -> None:
    fields = [("Grpc-Status", "0"), ("X-Debug", f"for {EMAIL}"), ("Cookie", "a=b")]
    masked, spans = await masked_fields(fields, Searches(finder))
    assert masked[0] == fields[0]
    assert sorted(span.entity for span in spans) == ["AUTH_HEADER", "EMAIL_ADDRESS"]


@pytest.mark.parametrize(
    ("content_type", "encoding"),
    [
        ("text/plain", "br"),
        ("text/plain", "gzip"),
        ("text/plain; charset=utf-7", ""),
        ("text/plain; charset=ibm037", ""),
        ('text/plain; charset="iso-2022-jp"', ""),
        ("application/octet-stream", ""),
        ("application/vnd.kubernetes.protobuf", ""),
        ("image/png", ""),
    ],
)
async def test_a_body_that_nobody_can_read_is_refused(
    finder: StreamFinder, content_type: str, encoding: str
) -> None:
    with pytest.raises(Unsearchable):
        body_stream(finder, content_type=content_type, content_encoding=encoding)


@pytest.mark.parametrize(
    ("content_type", "charset"),
    [
        ("text/plain", "utf-8"),
        ("", "utf-8"),
        ("application/json; charset=UTF-8", "utf-8"),
        ("text/event-stream", "utf-8"),
        ("multipart/form-data; boundary=x", "utf-8"),
        ("text/html; charset=iso-8859-1", "latin-1"),
        ("text/html; charset=utf-16le", "utf-16-le"),
    ],
)
async def test_bodies_of_text_are_searched(
    finder: StreamFinder, content_type: str, charset: str
) -> None:
    stream = body_stream(finder, content_type=content_type, content_encoding="identity")
    raw = f'data: {{"mail": "{EMAIL}"}} é\n'.encode(charset)
    output = (await fed(stream, chunked(raw, random.Random(1)))).output
    assert output.decode(charset) == 'data: {"mail": "<EMAIL_ADDRESS>"} é\n'


async def test_channels_are_streams_of_their_own_in_one_order(finder: StreamFinder) -> None:
    channels = Channels(lambda: text_stream(finder))
    given = [
        *await channels.feed("stdout", b"card 4111 1111 "),
        *await channels.feed("stderr", b"warning!(1)\n"),
        *await channels.feed("stdout", b"1111 1111 (x)\n"),
        *await channels.feed("stderr", b"half"),
    ]
    assert channels.waiting
    given += await channels.end()
    assert [(each.channel, each.masked.output) for each in given] == [
        ("stderr", b"warning!(1)\n"),
        ("stdout", b"card <CREDIT_CARD> (x)\n"),
        ("stderr", b"half"),
    ]


TABLE = (
    "id,name,password,note\r\n"
    f'1,"Lovelace, Ada",xyzzy,"mail ""{EMAIL}""\nsecond line"\r\n'
    f"2,Otto,,{CARD}\r\n"
    "3,Eve,${PASS},-\r\n"
)
MASKED = (
    "id,name,password,note\r\n"
    '1,"Lovelace, Ada",<PASSWORD>,"mail ""<EMAIL_ADDRESS>""\nsecond line"\r\n'
    "2,Otto,,<CREDIT_CARD>\r\n"
    "3,Eve,${PASS},-\r\n"
)


@pytest.mark.parametrize("end", ["\r\n", ""])
async def test_tables_keep_their_shape(finder: StreamFinder, end: str) -> None:
    raw = TABLE.removesuffix("\r\n").encode() + end.encode()
    for seed in range(6):
        masked = await fed(table_stream(finder), chunked(raw, random.Random(seed)))
        assert masked.output.decode() == MASKED.removesuffix("\r\n") + end


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
async def test_tables_with_other_delimiters(finder: StreamFinder, delimiter: str) -> None:
    raw = f"a,b{delimiter}c{delimiter}token\n{EMAIL},x{delimiter}{delimiter}abc\n"
    masked = await fed(table_stream(finder), [raw.encode()])
    assert masked.output.decode() == (
        f'a,b{delimiter}c{delimiter}token\n"<EMAIL_ADDRESS>,x"{delimiter}{delimiter}<PASSWORD>\n'
    )


async def test_a_columns_name_is_the_context_of_its_cells(finder: StreamFinder) -> None:
    raw = b"order_no,ssn\n219099991,219099991\n"
    masked = await fed(table_stream(finder), [raw])
    assert masked.output == b"order_no,ssn\n219099991,<US_SSN>\n"


@pytest.mark.parametrize(
    ("cell", "left"),
    [
        ("\0".join(EMAIL).encode(), b"<EMAIL_ADDRESS>"),
        (f"a \x1b[31mada.\x1b[0m{EMAIL[4:]}".encode(), b"<EMAIL_ADDRESS>"),
        (f"caf\xe9 {EMAIL}".encode("latin-1"), b"caf\xe9 <EMAIL_ADDRESS>"),
        ("caf\xe9".encode("latin-1"), b"caf\xe9"),
        (b"\x1b[31mred\x1b[0m", b"\x1b[31mred\x1b[0m"),
        (b"\x80\x81\xff\x01\x02\x03\x04", b"<UNREADABLE>"),
        (f'"x\0\nmail {EMAIL}\0"'.encode(), b'"<EMAIL_ADDRESS>"'),
    ],
)
async def test_cells_with_controls_and_other_charsets(
    finder: StreamFinder, cell: bytes, left: bytes
) -> None:
    masked = await fed(table_stream(finder), [b"id,text\n1," + cell + b"\n2,-\n"])
    assert masked.output == b"id,text\n1," + left + b"\n2,-\n"


@pytest.mark.parametrize("charset", ["utf-16-le", "utf-16-be", "utf-16", "utf-32"])
async def test_tables_in_wide_characters_with_a_mark_or_without(
    finder: StreamFinder, charset: str
) -> None:
    raw = f"id,mail,password\n1,{EMAIL},correct horse\n".encode(charset)
    output = (await fed(table_stream(finder), [raw])).output.replace(b"\0", b"")
    assert output.endswith(b"1,<EMAIL_ADDRESS>,<PASSWORD>\n")


async def test_half_a_character_stays_an_escape(finder: StreamFinder) -> None:
    raw = '{"a":"\\ud800 \\udcff ' + EMAIL + '","b":"\\udfff"}'
    masked = await fed(text_stream(finder), [raw.encode()])
    assert masked.output == b'{"a":"\\ud800 \\udcff <EMAIL_ADDRESS>","b":"\\udfff"}'


async def test_a_quote_that_never_ends_is_searched_as_text(finder: StreamFinder) -> None:
    raw = f'a,b\n1,"open {EMAIL}\n2,x\n'.encode()
    output = (await fed(table_stream(finder), [raw])).output
    assert EMAIL.encode() not in output
    assert output.startswith(b"a,b\n1,")
