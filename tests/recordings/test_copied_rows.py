"""Rows of COPY as lines and as cells: inverse of each other, or a protocol error."""

from __future__ import annotations

import asyncio
from itertools import product
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.errors import ProtocolError
from policies.sql.copied import CopyLayout
from recordings.copied_rows import codec_name, decode, encode, layout_named, names_line
from recordings.rows import row_codec
from server.protocols.postgres.codec import CopyRun
from tests.fixtures.postgres import PostgresServer
from tests.server.protocols.raw_client import RawClient

TEXT: Final = CopyLayout()
CSV: Final = CopyLayout("csv", ",", "", '"', '"')
LAYOUTS: Final = {
    "(FORMAT text)": TEXT,
    "(DELIMITER ',')": CopyLayout("text", ","),
    "(DELIMITER '|')": CopyLayout("text", "|"),
    "(DELIMITER 'Q')": CopyLayout("text", "Q"),
    "(DELIMITER ']')": CopyLayout("text", "]"),
    "(FORMAT csv)": CSV,
    "(FORMAT csv, DELIMITER E'\\t')": CopyLayout("csv", "\t", "", '"', '"'),
    "(FORMAT csv, QUOTE '^', DELIMITER '-')": CopyLayout("csv", "-", "", "^", "^"),
    "(FORMAT csv, ESCAPE E'\\\\')": CopyLayout("csv", ",", "", '"', "\\"),
    "(FORMAT csv, NULL '\\N')": CopyLayout("csv", ",", "\\N", '"', '"'),
    "(FORMAT csv, NULL 'x', DELIMITER '.')": CopyLayout("csv", ".", "x", '"', '"'),
    "(FORMAT csv, ESCAPE ',')": CopyLayout("csv", ",", "", '"', ","),
    "(FORMAT csv, FORCE_QUOTE *)": CopyLayout("csv", ",", "", '"', '"', quoted=True),
    "(FORMAT csv, QUOTE 'x', NULL 'N')": CopyLayout("csv", ",", "N", "x", "x"),
}
NASTY: Final = (
    *(None, "", "x", "N", "\\N", "\\\\N", "\\.", "\\", "\\t", "\t", "a\tb", "\n", "a\nb", "\r\n"),
    *(
        '"',
        '""',
        'a"b',
        "'",
        ",",
        "a,b",
        "|",
        "^",
        "]",
        ".",
        "-",
        "\\,",
        "\\|",
        "\b\f\v\x01\x1f\x7f",
    ),
    *("ä", "数", "\u2028", "\U0001f600", " ", " x ", "NULL", "null", "\\x41", "\\101"),
)
values = st.none() | st.text(
    st.sampled_from("\\N.,|^]-\"'x \t\n\r\b\f\v\x01ä数")
    | st.characters(codec="utf-8", exclude_characters="\0"),
    max_size=8,
)


def cells(row: tuple[str | None, ...]) -> list[bytes | None]:
    return [None if value is None else value.encode() for value in row]


async def copied(
    server: PostgresServer, options: str, rows: list[tuple[str | None, ...]]
) -> tuple[bytes, int]:
    """The messages of the server's own COPY of these rows, and how many they are."""
    path = f"{server.socket_directory}/.s.PGSQL.{server.port}"
    client = RawClient(*await asyncio.open_unix_connection(path))
    login = {"user": server.superuser, "database": "postgres", "client_encoding": "UTF8"}
    await client.log_in(server.password, login)
    query = "VALUES " + ", ".join(f"({', '.join(map(literal, row))})" for row in rows)
    runs = await client.query(f"COPY ({query}) TO STDOUT {options}")
    client.writer.close()
    copies = [run for run in runs if isinstance(run, CopyRun)]
    return b"".join(run.frames for run in copies), sum(run.count for run in copies)


def literal(value: str | None) -> str:
    written = "NULL" if value is None else f"'\\x{value.encode().hex()}'::bytea"
    return f"convert_from({written}, 'UTF8')"


def framed(lines: list[bytes]) -> bytes:
    return b"".join(b"d" + (len(line) + 4).to_bytes(4, "big") + line for line in lines)


@pytest.mark.parametrize("options", LAYOUTS)
@pytest.mark.anyio
async def test_what_a_server_copies_out_is_read_and_written_back(
    postgres: PostgresServer, options: str
) -> None:
    layout = LAYOUTS[options]
    for width in (1, 2):
        rows: list[tuple[str | None, ...]] = list(product(NASTY, repeat=width))
        frames, count = await copied(postgres, options, rows)
        assert count == len(rows)
        assert decode(layout, frames) == [cells(row) for row in rows]
        assert encode(layout, decode(layout, frames)) == frames


@given(
    st.lists(st.lists(values, min_size=1, max_size=4), max_size=4), st.sampled_from(list(LAYOUTS))
)
def test_what_is_encoded_decodes_to_itself(rows: list[list[str | None]], options: str) -> None:
    layout, wanted = LAYOUTS[options], [cells(tuple(row)) for row in rows]
    assert decode(layout, encode(layout, wanted)) == wanted


@given(st.binary(max_size=40), st.sampled_from(list(LAYOUTS)))
def test_any_line_is_read_in_one_way_or_is_a_protocol_error(line: bytes, options: str) -> None:
    layout = LAYOUTS[options]
    try:
        rows = decode(layout, framed([line]))
    except ProtocolError:
        return
    assert len(rows) == 1
    assert decode(layout, encode(layout, rows)) == rows


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=list(LAYOUTS))
def test_a_codec_is_found_by_its_name_alone(layout: CopyLayout) -> None:
    name = codec_name(layout)
    assert layout_named(name) == layout
    codec = row_codec(name)
    assert codec is not None
    assert codec.decode(codec.encode([[b"a", None, b""]])) == [[b"a", None, b""]]


@pytest.mark.parametrize(
    "name",
    [
        *("", "postgres-copy", "postgres-copy:text", "postgres-copy:text:09:5c4e:::x"),
        *("postgres-copy:binary:09:5c4e:::", "postgres-copy:csv:zz::22:22:"),
        *("postgres-copy:csv:2C::22:22:", "postgres-copy:csv:2c::22:22::", "nonsense"),
    ],
)
def test_another_name_is_no_layout(name: str) -> None:
    assert layout_named(name) is None
    assert row_codec(name) is None


@pytest.mark.parametrize(
    ("layout", "line"),
    [
        *((TEXT, b"no end"), (TEXT, b"a\nb\n"), (TEXT, b"a\\q\n"), (TEXT, b"a\\\n")),
        *((CSV, b'"open\n'), (CSV, b'"a"b\n'), (CSV, b'a"b\n'), (CSV, b"a\nb\n"), (CSV, b"a\rb\n")),
    ],
)
def test_what_copy_does_not_write_is_a_protocol_error(layout: CopyLayout, line: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode(layout, framed([line]))


@pytest.mark.parametrize("frames", [b"d\0\0\0", b"d\0\0\0\x04", b"D\0\0\0\x05\n", b"d\0\0\0\x06\n"])
def test_what_is_no_whole_message_is_a_protocol_error(frames: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode(TEXT, frames)


def test_names_are_written_like_values_and_quoted_only_where_they_must_be() -> None:
    assert names_line(TEXT, ["a\tb", "\\N"]) == framed([b"a\\tb\t\\\\N\n"])
    quoted = CopyLayout("csv", ",", "", '"', '"', quoted=True)
    assert names_line(quoted, ["a", 'b"c', ""]) == framed([b'a,"b""c",""\n'])
