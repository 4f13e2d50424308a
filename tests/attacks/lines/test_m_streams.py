"""Line M28, and what M22, M24 and M25 say of streams: text of SSH, kubectl and HTTP.

Their doors come later; here the streams that they will stand on are shown everything at once and
byte by byte.
"""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import AsyncIterator, Sequence

import pytest

from masking import lanes
from masking.entities import NAMES
from masking.scanning import ScanText, ScanWorker
from masking.spans import NOT_SCANNED, Span, whole
from masking.streams.bodies import Unsearchable, body_stream
from masking.streams.channels import Channels
from masking.streams.headers import masked_fields
from masking.streams.searching import Searches
from masking.streams.stream import Stream, text_stream
from tests.attacks.lines.leaks import found

pytestmark = pytest.mark.anyio

CARD = "4111111111111111"
EMAIL = "ada.lovelace@example.com"
KEY_ID = "AKIAQYLPMN5HXXV3J7KD"
SECRETS = (CARD, EMAIL, KEY_ID)


@pytest.fixture(scope="module")
async def worker(anyio_backend: str) -> AsyncIterator[ScanWorker]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lanes, "START_DEADLINE", 600.0)  # on a busy machine too
        async with ScanWorker(deadline=600) as opened:
            yield opened


async def given(stream: Stream, pieces: Sequence[bytes]) -> str:
    masked = b"".join([(await stream.feed(piece)).output for piece in pieces])
    return (masked + (await stream.end()).output).decode("utf-8", "replace")


async def leaks(worker: ScanWorker, raw: bytes) -> set[str]:
    """Which of the planted values can be read from what comes out, whole or byte by byte."""
    whole_text = await given(text_stream(worker), [raw])
    by_byte = await given(text_stream(worker), [raw[i : i + 1] for i in range(len(raw))])
    return {value for value in SECRETS if _reads(value, whole_text) or _reads(value, by_byte)}


def _reads(value: str, text: str) -> bool:
    return value in text or value in text.replace("\n", "").replace("\r", "")


def made(command: Sequence[str], text: str) -> bytes:
    done = subprocess.run(command, input=text.encode(), stdout=subprocess.PIPE, check=True)
    return done.stdout


PLAIN = f"card {CARD} of {EMAIL} with {KEY_ID} (x)\n"


async def test_m28_escapes_overprints_and_overwrites_do_not_hide_a_value(
    worker: ScanWorker,
) -> None:
    for value in SECRETS:
        coloured = "".join(f"\x1b[3{i % 8}m{c}" for i, c in enumerate(value)) + "\x1b[0m"
        bold = "".join(f"{c}\b{c}" for c in value)
        typed = "".join(f"{c}x\b" for c in value[:-1]) + value[-1]
        overwritten = "#" * len(value) + "\r" + value
        moved = f"{value[:6]}\x1b[20C\x1b[20D{value[6:]}"
        titled = f"\x1b]0;{value}\x07"
        for hidden in (coloured, bold, typed, overwritten, moved, titled):
            raw = f"\n{hidden} ok\n".encode()
            output = await given(text_stream(worker), [raw])
            assert "<" in output, hidden
            assert value not in _without_controls(output), hidden


def _without_controls(text: str) -> str:
    kept, position = "", 0
    while position < len(text):
        if text.startswith("\x1b[", position):
            position += 2
            while text[position] in "0123456789;":
                position += 1
        elif text[position] >= " ":
            kept += text[position]
        position += 1
    return kept


@pytest.mark.parametrize("width", [1, 3, 8, 13, 20, 40])
async def test_m28_a_wrap_at_the_terminals_edge_does_not_hide_a_value(
    worker: ScanWorker, width: int
) -> None:
    folded = made(["fold", f"-w{width}"], PLAIN)
    assert await leaks(worker, folded) == set()
    assert await leaks(worker, folded.replace(b"\n", b"\r\n")) == set()


@pytest.mark.parametrize(
    "command",
    [
        ["od", "-c"],
        ["od", "-t", "x1"],
        pytest.param(["hexdump", "-C"], marks=pytest.mark.programs),
        pytest.param(["xxd"], marks=pytest.mark.programs),
        pytest.param(["xxd", "-p"], marks=pytest.mark.programs),
        ["base64"],
        ["base64", "-w", "30"],
    ],
    ids=" ".join,
)
async def test_m28_dumps_of_a_value_are_read(worker: ScanWorker, command: list[str]) -> None:
    for value in SECRETS:
        dumped = made(command, f"it is {value} (x)\n")
        output = await given(text_stream(worker), [dumped])
        assert found(output) == set()
        entities = {name for name in NAMES if f"<{name}>" in output}
        assert entities, output


async def test_m28_a_value_over_two_channels_keeps_each_in_its_order(worker: ScanWorker) -> None:
    channels = Channels(lambda: text_stream(worker))
    out = [
        *await channels.feed("stdout", f"a {CARD[:8]}".encode()),
        *await channels.feed("stderr", f"b {EMAIL[:8]}".encode()),
        *await channels.feed("stdout", f"{CARD[8:]} (a)\n".encode()),
        *await channels.feed("stderr", f"{EMAIL[8:]} (b)\n".encode()),
        *await channels.end(),
    ]
    assert [(each.channel, each.masked.output) for each in out] == [
        ("stdout", b"a <CREDIT_CARD> (a)\n"),
        ("stderr", b"b <EMAIL_ADDRESS> (b)\n"),
    ]


async def test_m28_a_kubernetes_secret_does_not_come_out_in_json_yaml_or_columns(
    worker: ScanWorker,
) -> None:
    encoded = base64.b64encode(b"correct horse").decode()
    manifest = {"apiVersion": "v1", "kind": "Secret", "data": {"note": encoded}}
    yaml = f"apiVersion: v1\ndata:\n  note: {encoded}\nkind: Secret\n"
    for raw in (json.dumps(manifest) + "\n", json.dumps(manifest, indent=2) + "\n", yaml):
        output = await given(text_stream(worker), [raw.encode()])
        assert encoded not in output, raw
    for raw in (f"NAME  K\ndb    {base64.b64encode(EMAIL.encode()).decode()}\n", f"{EMAIL}\n"):
        assert EMAIL not in await given(text_stream(worker), [raw.encode()])
    map_of_strings = json.dumps({"password": encoded})  # -o jsonpath='{.data}'
    assert encoded not in await given(text_stream(worker), [map_of_strings.encode()])


async def test_m28_fields_trailers_and_redirects_are_masked(worker: ScanWorker) -> None:
    fields = [
        ("Set-Cookie", "sid=xyzzy123; Secure"),
        ("Location", f"https://u:pw@h/{EMAIL}?code=xyzzy123"),
        ("X-Trailer", CARD),
        ("Authorization", "Bearer xyzzy123"),
    ]
    masked, _ = await masked_fields(fields, Searches(worker))
    text = "\n".join(f"{name}: {value}" for name, value in masked)
    assert [v for v in ("xyzzy123", "pw@", *SECRETS) if v in text] == []


async def test_m28_a_body_in_an_unknown_coding_is_refused_and_utf_16_is_read(
    worker: ScanWorker,
) -> None:
    for encoding in ("br", "gzip", "zstd", "x-own"):
        with pytest.raises(Unsearchable):
            body_stream(worker, content_type="text/plain", content_encoding=encoding)
    for order in ("utf-16le", "utf-16be"):
        stream = body_stream(worker, content_type=f"text/plain; charset={order}")
        out = (await stream.feed(PLAIN.encode(order))) + (await stream.end())
        assert [value for value in SECRETS if value in out.output.decode(order)] == []
    marked = text_stream(worker)
    out = (await marked.feed(("\ufeff" + PLAIN).encode("utf-16-le"))) + (await marked.end())
    assert [value for value in SECRETS if value in out.output.decode("utf-16-le")] == []


async def test_m28_events_and_parts_of_a_body_are_searched(worker: ScanWorker) -> None:
    event = f'event: m\ndata: {{"mail": "{EMAIL}"}}\n\n'
    part = f'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n{CARD}\r\n--x--\r\n'
    for content_type, raw in (("text/event-stream", event), ("multipart/form-data", part)):
        output = await given(body_stream(worker, content_type=content_type), [raw.encode()])
        assert [value for value in SECRETS if value in output] == []


async def test_m22_no_chunk_boundary_lets_a_value_through(worker: ScanWorker) -> None:
    raw = PLAIN.encode()
    for cut in range(1, len(raw), 3):
        output = await given(text_stream(worker), [raw[:cut], raw[cut:]])
        assert output == "card <CREDIT_CARD> of <EMAIL_ADDRESS> with <AWS_KEY> (x)\n"


async def test_m22_the_end_of_a_long_line_is_searched_as_its_beginning(
    worker: ScanWorker,
) -> None:
    raw = ("word " * 20_000 + PLAIN).encode()
    output = await given(text_stream(worker), [raw[i : i + 4096] for i in range(0, len(raw), 4096)])
    assert [value for value in SECRETS if value in output] == []
    assert output.startswith("word " * 19_000)


@pytest.mark.parametrize(
    "written",
    [
        "".join(f"\\u{ord(c):04x}" for c in CARD),
        "".join(f"&#{ord(c)};" for c in CARD),
        "".join(f"%{ord(c):02X}" for c in EMAIL),
        base64.b64encode(PLAIN.encode()).decode(),
        PLAIN.encode().hex(),
        "4111\n1111\n1111\n1111",
        "data:text/plain;base64," + base64.b64encode(PLAIN.encode()).decode(),
    ],
)
async def test_m24_values_in_other_spellings_are_found_in_a_stream(
    worker: ScanWorker, written: str
) -> None:
    output = await given(text_stream(worker), [f"it is {written} (x)\n".encode()])
    assert written not in output
    assert "<" in output


class Lost:
    """A finder whose worker is lost for every second batch."""

    def __init__(self) -> None:
        self._asked = 0

    async def spans(self, texts: Sequence[ScanText]) -> list[list[Span]]:
        return [whole(text.text) for text in texts]

    async def column_spans(self, context: str, texts: Sequence[str]) -> dict[int, list[Span]]:
        self._asked += 1
        lost = self._asked % 2 == 0
        return {index: whole(text) for index, text in enumerate(texts)} if lost else {}

    async def ready(self) -> None:
        """It says nothing."""

    def may_hold(self, text: str) -> bool:
        return False

    def begins(self, text: str) -> int | None:
        return None


async def test_m25_a_piece_that_could_not_be_searched_goes_whole_and_the_stream_goes_on() -> None:
    stream = text_stream(Lost())
    masked = [await stream.feed(f"line {n} (x)\n".encode()) for n in range(3)]
    assert [each.output for each in masked] == [
        b"line 0 (x)\n",
        b"<NOT_SCANNED>\n",
        b"line 2 (x)\n",
    ]
    assert masked[1].counts[NOT_SCANNED] == 1


async def test_m25_characters_beyond_the_basic_plane_do_not_move_a_mask(
    worker: ScanWorker,
) -> None:
    raw = f"\U0001f511\U0001f468\u200d\U0001f469 {EMAIL} \U0001f511\n"
    output = await given(text_stream(worker), [raw.encode()])
    assert output == "\U0001f511\U0001f468\u200d\U0001f469 <EMAIL_ADDRESS> \U0001f511\n"
