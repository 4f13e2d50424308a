"""Masks and pseudonyms of ours are found in what is written: literals, parameters, copied rows."""

from __future__ import annotations

import json
import re
import struct
import uuid
from collections.abc import Sequence
from pathlib import Path

import pytest

from masking.marks import Made, Marks
from masking.ner import NoNames
from masking.operators import PseudonymKey
from masking.shapes import ColumnShape
from masking.values import column_mask
from policies.model import Parameter
from server.copied_in import LINE, CopiedIn
from server.key_file import KeyFile
from server.keys import KeyRing, Purpose
from server.pseudonym_keys import masker_of
from server.references import Secret
from server.write_back import holds_mark, mask_in

KEY = PseudonymKey(b"k" * 32)
TEXT, UUID = 25, 2950


def masked(operator: str, value: str, type_: int = TEXT) -> str:
    cell = column_mask(ColumnShape("a", type_), operator, KEY)(value.encode())
    assert cell is not None
    return cell.decode()


TOKEN = masked("pseudonym(people)", "219-09-9991")
OUR_UUID = masked("pseudonym(people)", "d3ac94af-0f21-4db6-acad-4a268d116ece", UUID)
LAST_FOUR = masked("keep_last(4)", "219-09-9991")
MARKS = [
    "<redacted>",
    LAST_FOUR,
    masked("partial(2,2,x)", "4111-1111-1111-1111"),
    masked("email", "ada@example.com"),
    TOKEN,
    OUR_UUID,
    "<US_SSN>",
]


OPERATORS = frozenset({"keep_last(4)", "partial(2,2,x)", "email", "redact"})
holds = Marks((KEY,), Made(OPERATORS)).inside


def found(text: str, dialect: str = "postgres", *values: str) -> str | None:
    parameters = [Parameter(value.encode()) for value in values]
    mask = mask_in(text, dialect, holds, parameters)
    return None if mask is None else text.encode()[slice(*mask.span)].decode()


@pytest.mark.parametrize("mark", MARKS)
@pytest.mark.parametrize("dialect", ["postgres", "mysql"])
def test_a_mark_is_found_in_a_literal_and_shown_where_it_stands(mark: str, dialect: str) -> None:
    assert found(f"UPDATE t SET a = 'ä', b = '{mark}' WHERE c = 1", dialect) == f"'{mark}'"
    document = json.dumps({"a": [{"b": mark}]})
    assert found(f"INSERT INTO t (a) VALUES (1, '{document}')", dialect) == f"'{document}'"


@pytest.mark.parametrize(
    "text",
    [
        "UPDATE t SET a = $$<redacted>$$",
        "UPDATE t SET a = $q$<redacted>$q$",
        r"UPDATE t SET a = E'\x3credacted\u003e'",
        r"UPDATE t SET a = E'\074redacted>'",
        "UPDATE t SET a = U&'\\003credacted>'",
        "UPDATE t SET a = U&'!003credacted>' UESCAPE '!'",
        "UPDATE t SET a = '<red'\n'acted>'",
        "UPDATE t SET a = '<red' || 'acted>'",
        "UPDATE t SET a = ('<red'::text || 'acted>')::varchar",
        "UPDATE t SET a = concat('<red', 'acted>')",
        "UPDATE t SET a = concat_ws('', '<red', 'acted>')",
        r"""UPDATE t SET a = '{"x": "\u003credacted\u003e"}'""",
        "UPDATE t SET a = ARRAY['x', '<redacted>']",
        "UPDATE t SET a = '{x,<redacted>}'",
        "INSERT INTO t SELECT id, '<redacted>' FROM u",
        "EXECUTE change('<redacted>')",
        f"UPDATE t SET a = '***-**-' || '9991' || '', b = '{TOKEN[:6]}' || '{TOKEN[6:]}'",
        f"UPDATE t SET a = '{OUR_UUID.upper()}'",
        f"UPDATE t SET a = '{'-'.join(re.findall('....', OUR_UUID.replace('-', '')))}'",
        f"UPDATE t SET a = '{masked('keep_last(4)', 'a long note ' * 200)}'",
        f"UPDATE t SET a = 'her number is {LAST_FOUR}.'",
        "UPDATE t SET a = '&lt;redacted&gt;'",
        "UPDATE t SET a = '<p>&#60;US_SSN&#x3e;</p>'",
    ],
)
def test_a_mark_is_found_however_it_is_written(text: str) -> None:
    assert found(text) is not None


@pytest.mark.parametrize(
    "text",
    [
        'UPDATE t SET a = "<redacted>" WHERE b = 1',
        r"UPDATE t SET a = '<red\acted>'",
        "UPDATE t SET a = '<red' 'acted>'",
        "UPDATE t SET a = CONCAT('<red', 'acted>')",
    ],
)
def test_a_mark_is_found_in_mysql_s_own_ways_to_write_it(text: str) -> None:
    assert found(text, "mysql") is not None


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("UPDATE t SET a = '<'||$1||'>'", ["redacted"]),
        ("UPDATE t SET a = $2||$1", ["acted>", "<red"]),
        ("UPDATE t SET a = concat('***-**-', $1::text)", ["9991"]),
    ],
)
def test_a_mark_is_found_that_a_parameter_completes(text: str, values: list[str]) -> None:
    assert found(text, "postgres", *values) is not None
    mysql = re.sub(r"\$\d", "?", text).replace("::text", "")
    order = [values[int(number) - 1] for number in re.findall(r"\$(\d)", text)]
    assert found(mysql, "mysql", *order) is not None
    assert found(text, "postgres", *("x" for _ in values)) is None


@pytest.mark.parametrize(
    ("text", "mark"),
    [
        (f"'{LAST_FOUR}'", "what the mask keep_last(4) leaves"),
        ("'to ***@example.com'", "what the mask email leaves"),
        ("'by <US_SSN>'", "<US_SSN>"),
        (f"'{TOKEN}'", "a pseudonym"),
    ],
)
def test_what_is_refused_is_told_by_its_kind(text: str, mark: str) -> None:
    found = mask_in(f"UPDATE t SET a = {text}", "postgres", holds)
    assert found is not None
    assert found.mark == mark


@pytest.mark.parametrize(
    "own",
    [
        "**/*.c", "rm -rf **/*.o", "foo/**/bar", "### Hi", "#### 1.2 Scope", "XXXL", "xxx1",
        "2***", "<URL>", "<DIV>", "<SECRET>", "<UUID>", "<API_KEY>", "***bold***", "***args",
        "a***b", "s***", "****ing", "**kwargs", "4.5 ****", "Rating: ***** 5", "a &lt; b &amp; c",
    ],
)  # fmt: skip
def test_texts_that_no_configured_mask_leaves_are_written(own: str) -> None:
    assert found(f"UPDATE t SET a = '{own}'") is None
    assert not holds_mark(own.encode(), holds, binary=False)
    assert not holds_mark(json.dumps([own]).encode(), holds, binary=False)


@pytest.mark.parametrize(
    "text",
    [
        "UPDATE t SET a = 'x' WHERE b < 3 AND c > 4",
        "UPDATE t SET a = 'five stars: *****' WHERE b = 1",
        "UPDATE t SET cron = '0 4 * * *'",
        "UPDATE t SET a = '***'",
        "UPDATE t SET a = '<b>bold</b> and <redact-me>'",
        "UPDATE t SET a = 'see <redacted' || $1 || '>'",
        "INSERT INTO t VALUES ('*****', '12')",
        "UPDATE p_abcdefghijkl SET p_abcdefghijklmnop = 1 -- '<redacted>'",
        "UPDATE t SET a = 'p_abcdefghijklmnop'",
        "UPDATE t SET a = 'd3ac94af-0f21-4db6-acad-4a268d116ece'",
        'UPDATE t SET "<redacted>" = 1',
        "UPDATE t SET a = '555-01-9991 and ann@example.com'",
    ],
)
def test_what_is_no_mark_of_ours_is_left_alone(text: str) -> None:
    assert found(text) is None


def array(element: int, *values: bytes) -> bytes:
    cells = b"".join(struct.pack("!i", len(value)) + value for value in values)
    return struct.pack("!iiiii", 1, 0, element, len(values), 1) + cells


@pytest.mark.parametrize("mark", MARKS)
def test_a_mark_is_found_in_parameters_of_every_form(mark: str) -> None:
    plain = mark.encode()
    shapes: Sequence[Parameter] = (
        Parameter(plain),
        Parameter(plain, binary=True, type=TEXT),
        Parameter(json.dumps({"a": mark}).encode()),
        Parameter(b"\x01" + json.dumps([mark]).encode(), binary=True, type=3802),
        Parameter(f'{{x,"{mark}"}}'.encode()),
        Parameter(array(TEXT, b"x", plain, b"yy"), binary=True, type=1009),
        Parameter(json.dumps({"a": mark}).replace("<", "\\u003c").encode()),
    )
    for parameter in shapes:
        assert parameter.value is not None
        assert holds_mark(parameter.value, holds, binary=parameter.binary), parameter


def test_a_uuid_of_ours_is_found_in_binary_alone_and_in_an_array() -> None:
    ours, other = uuid.UUID(OUR_UUID).bytes, uuid.uuid4().bytes
    assert holds_mark(ours, holds, binary=True)
    assert holds_mark(array(UUID, other, ours), holds, binary=True)
    assert not holds_mark(array(UUID, other, other), holds, binary=True)


@pytest.mark.parametrize(
    "value", [b"", b"\x00\x00\x00\x07", b"paid", b"***", b"a < b", bytes(range(256)), b"\xff" * 40]
)
def test_other_parameters_pass(value: bytes) -> None:
    assert not holds_mark(value, holds, binary=True)
    assert not holds_mark(value, holds, binary=False)


def copied(content: bytes, size: int) -> bool:
    watch = CopiedIn(holds)
    pieces = (content[i : i + size] for i in range(0, len(content), size))
    return any(watch.feed(piece) for piece in pieces) or watch.end()


@pytest.mark.parametrize("mark", MARKS)
@pytest.mark.parametrize("size", [1, 7, 64, 1 << 20])
def test_a_mark_in_copied_rows_is_found_over_every_border(mark: str, size: int) -> None:
    line = b"12\tplain text\t%s\tmore\n"
    clean = line % b"value" * 20
    for content in (
        clean + line % mark.encode(),
        clean + f"12,plain,{mark}".encode(),
        f'12,"{mark}"\n'.encode() + clean,
        (line % mark.replace("<", "\\x3c").encode()) + clean,
        b"PGCOPY\n\xff\r\n\0" + struct.pack("!hi", 1, len(mark)) + mark.encode() + b"\xff\xff",
        b"z" * (3 * LINE) + b"," + mark.encode() + b"," + b"z" * LINE,
    ):
        assert copied(content, size), content[-80:]


@pytest.mark.parametrize("size", [1, 7, 64, 1 << 20])
def test_a_uuid_of_ours_in_binary_rows_is_found_where_one_of_its_bytes_is_a_line_break(
    size: int,
) -> None:
    domain = KEY.domain("people")
    made = [domain.uuid(uuid.UUID(int=n)).bytes for n in range(600)]
    broken = [value for value in made if b"\n" in value]
    assert len(broken) > 10
    for value in broken:
        row = struct.pack("!hi", 2, 16) + value + struct.pack("!i", 4) + b"rest"
        assert copied(b"PGCOPY\n\xff\r\n\0" + bytes(8) + row + b"\xff\xff", size)


def test_other_rows_are_copied() -> None:
    rows = b"".join(b"%d\tname %d\t0 4 * * *\t\\N\t<b>\n" % (n, n) for n in range(500))
    assert not copied(rows, 4096)
    assert not copied(b"no line end" * 5000, 4096)


def test_a_pseudonym_of_before_a_key_rotation_is_found_until_its_key_is_dropped(
    tmp_path: Path,
) -> None:
    path = tmp_path / "keys.json"
    old = KeyRing.create(path).current(Purpose.PSEUDONYM)
    made = PseudonymKey(old.secret).domain("people")
    before = [made.token("Ann"), str(made.uuid(uuid.UUID(int=1)))]
    file = KeyFile.of(Secret("file", str(path)))
    now = file.rotate(Purpose.PSEUDONYM)
    after = PseudonymKey(now.key.secret).domain("people").token("Ann")

    def refused() -> list[str]:
        holds = masker_of(KeyRing.load(path), NoNames(), NoNames()).holds_masks
        texts = (f"UPDATE t SET a = '{pseudonym}'" for pseudonym in [*before, after])
        return [text for text in texts if mask_in(text, "postgres", holds)]

    assert len(refused()) == 3
    file.drop(Purpose.PSEUDONYM, old.id)
    assert refused() == [f"UPDATE t SET a = '{after}'"]
