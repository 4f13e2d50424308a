"""Lines of a terminal: what is found in them, what stays, and what is held back for how long."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Sequence

import pytest

from masking.errors import MaskingFailed
from masking.scanning import ScanText, StreamFinder
from masking.spans import Span
from masking.streams.bounds import Bounds
from masking.streams.stream import Finding, Masked, text_stream
from tests.masking.streams.feeding import CARD, EMAIL, TOKEN, fed

pytestmark = pytest.mark.anyio

KEY = (
    "-----BEGIN RSA PRIVATE KEY-----\n"
    + "\n".join(base64.b64encode(bytes(range(n, n + 48))).decode() for n in range(20))
    + "\n-----END RSA PRIVATE KEY-----\n"
)


def made_by(command: list[str], text: bytes) -> bytes:
    """What a program makes of a text."""
    return subprocess.run(command, input=text, stdout=subprocess.PIPE, check=True).stdout


async def masked(finder: StreamFinder, *pieces: bytes) -> bytes:
    return (await fed(text_stream(finder), pieces)).output


async def test_a_value_in_three_chunks_is_found(finder: StreamFinder) -> None:
    assert (
        await masked(finder, b"card 4111", b"11111111", b"1111 ok\n") == b"card <CREDIT_CARD> ok\n"
    )


async def test_harmless_controls_stay_where_they_are(finder: StreamFinder) -> None:
    raw = b"\x1b[1;32mok\x1b[0m\x1b[K\t\x1b[2J\x1b[10;4Hdone\x1b(B"
    raw += b"\x1b[?25l 10%\r20%\r\n\x07\x1b]0;web-1\x07$ "
    assert await masked(finder, raw) == raw


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"4111\x1b[31m1111\x1b[0m11111111 x\n", b"<CREDIT_CARD>\x1b[31m\x1b[0m x\n"),
        (b"4111 \x1b[1m1111\x1b[0m 1111 1111\n", b"<CREDIT_CARD>\x1b[1m\x1b[0m\n"),
        (b"4\b41\b1" + b"1" * 14 + b" x\n", b"<CREDIT_CARD> x\n"),
        (b"4112\b1" + b"1" * 12 + b" x\n", b"<CREDIT_CARD> x\n"),
        (b"loading...\r4111111111111111\n", b"loading...\r<CREDIT_CARD>\n"),
        (b"xxxx111111111111\r4111\n", b"<CREDIT_CARD>\n"),
        (b"4111\x1b[C1111\x1b[C1111\x1b[C1111\n", b"<CREDIT_CARD>\n"),
        (b"4112\x1b[D1" + b"1" * 12 + b"\n", b"<CREDIT_CARD>\n"),
        ("4\u200b1\u00ad1\ufeff1".encode() + b"1" * 12 + b"\n", b"<CREDIT_CARD>\n"),
        (b"4\x001\x001\x001\x00" + b"1\x00" * 12 + b"\n", b"<CREDIT_CARD>\x00\n"),
        (b"4111111111 \r111111 x\n", b"<CREDIT_CARD> x\n"),
    ],
)
async def test_controls_do_not_hide_a_value(
    finder: StreamFinder, raw: bytes, expected: bytes
) -> None:
    assert await masked(finder, raw) == expected


@pytest.mark.parametrize(
    "raw",
    [
        b"\x1b]52;c;NDExMTExMTExMTExMTExMQ==\x07",
        b"\x1bP4111111111111111\x1b\\",
        b"\x1b_4111111111111111\x1b\\",
        b"\x1b[4111111111111111m",
        b"\x1b[411;111;111;111;111;1m",
        b"\x1b]0;4111111111111111\x07",
    ],
)
async def test_no_control_carries_a_value_out(finder: StreamFinder, raw: bytes) -> None:
    output = await masked(finder, b"a" + raw + b"b\n")
    digits = bytes(c for c in output if 0x30 <= c <= 0x39)
    assert b"411" not in digits
    assert b"NDEx" not in output
    assert output.startswith(b"a")
    assert output.endswith(b"b\n")


@pytest.mark.parametrize("width", [1, 2, 5, 7, 16, 30])
async def test_what_fold_makes_of_a_line_is_found(finder: StreamFinder, width: int) -> None:
    line = f"the card {CARD} and {EMAIL} of nobody\n".encode()
    folded = made_by(["fold", f"-w{width}"], line)
    output = (await masked(finder, folded)).replace(b"\n", b"")
    assert CARD.encode() not in output
    assert EMAIL.encode() not in output


@pytest.mark.parametrize(
    "command",
    [
        ["od", "-c"],
        ["od", "-An", "-c"],
        ["od"],
        ["od", "-x"],
        ["od", "-t", "x1"],
        pytest.param(["hexdump", "-C"], marks=pytest.mark.programs),
        pytest.param(["hexdump"], marks=pytest.mark.programs),
        pytest.param(["xxd"], marks=pytest.mark.programs),
        pytest.param(["xxd", "-c", "7"], marks=pytest.mark.programs),
        pytest.param(["xxd", "-p"], marks=pytest.mark.programs),
        ["base64"],
        ["base64", "-w", "20"],
    ],
    ids=" ".join,
)
async def test_dumps_are_read(finder: StreamFinder, command: list[str]) -> None:
    dump = made_by(command, f"the card of nobody is {CARD} or so\n".encode())
    output = await masked(finder, b"before\n" + dump + b"after\n")
    assert output.startswith(b"before\n")
    assert output.endswith(b"after\n")
    assert b"CREDIT_CARD" in output
    found = output.index(b"<CREDIT_CARD>")
    assert dump.startswith(output[len(b"before\n") : found])
    left = output[found + len(b"<CREDIT_CARD>") : -len(b"after\n")].lstrip(b"\n")
    assert dump.endswith(left)


@pytest.mark.parametrize(
    "escaped",
    [
        "".join(f"\\u{ord(c):04x}" for c in CARD),
        "".join(f"\\x{ord(c):02x}" for c in CARD),
        "".join(f"&#{ord(c)};" for c in CARD),
        "".join(f"&#x{ord(c):x};" for c in CARD),
        "".join(f"={ord(c):02X}" for c in CARD),
    ],
)
async def test_escapes_are_read(finder: StreamFinder, escaped: str) -> None:
    assert await masked(finder, f"a {escaped} b\n".encode()) == b"a <CREDIT_CARD> b\n"


async def test_an_e_mail_at_the_end_of_a_line_leaves_the_next_line_alone(
    finder: StreamFinder,
) -> None:
    raw = f"ok\nto {EMAIL}\nstatus: fine\n".encode()
    assert await masked(finder, raw) == b"ok\nto <EMAIL_ADDRESS>\nstatus: fine\n"


# -- keys ----------------------------------------------------------------------------------------


async def test_a_private_key_goes_from_begin_to_end(finder: StreamFinder) -> None:
    raw = f"here:\n{KEY}that was it\n".encode()
    assert await masked(finder, raw) == b"here:\n<PRIVATE_KEY>\nthat was it\n"
    assert await masked(finder, *(raw[i : i + 9] for i in range(0, len(raw), 9))) == (
        b"here:\n<PRIVATE_KEY>\nthat was it\n"
    )


async def test_a_key_behind_a_logs_prefixes_goes_too(finder: StreamFinder) -> None:
    raw = "".join(f"web-1  | {line}\n" for line in KEY.splitlines()) + "web-1  | ready\n"
    output = (await masked(finder, raw.encode())).decode()
    assert [line for line in KEY.splitlines()[1:-1] if line in output] == []
    assert output.endswith("web-1  | ready\n")


@pytest.mark.parametrize("before", ["web-1  | ", "-", "    12\t", "2026-11-22T10:11:12Z stdout F "])
async def test_the_short_last_line_of_a_key_goes_behind_what_stood_before_its_begin(
    finder: StreamFinder, before: str
) -> None:
    begin, *lines, end = KEY.splitlines()
    key = "".join(f"{before}{line}\n" for line in (begin, *lines, "c2hvcnQ=", end))
    output = (await masked(finder, f"{key}{before}ready\n".encode())).decode()
    assert output == f"{before}<PRIVATE_KEY>\n{before}ready\n"


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        ("---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----", "---- END SSH2 ENCRYPTED PRIVATE KEY ----"),
        ("----BEGIN RSA PRIVATE KEY----", "----END RSA PRIVATE KEY----"),
        ("-----BEGIN RSA PRIVATE KEY -----", "-----END RSA PRIVATE KEY -----"),
        ("Private-Lines: 21", "Private-MAC: "),
    ],
)
async def test_keys_with_other_borders_go(finder: StreamFinder, begin: str, end: str) -> None:
    raw = "\n".join([begin, *KEY.splitlines()[1:-1], "c2hvcnQ=", end, "ready", ""])
    assert await masked(finder, raw.encode()) == b"<PRIVATE_KEY>\nready\n"


async def test_a_key_without_its_end_is_over_where_it_can_not_go_on(finder: StreamFinder) -> None:
    raw = "\n".join(KEY.splitlines()[:-1]) + "\nFri 13: cut off here, sorry\nmore\n"
    assert await masked(finder, raw.encode()) == (
        b"<PRIVATE_KEY>\nFri 13: cut off here, sorry\nmore\n"
    )


# -- what is held back ---------------------------------------------------------------------------


async def test_an_unfinished_line_waits_for_its_bound(finder: StreamFinder) -> None:
    stream = text_stream(finder)
    assert (await stream.feed(b"(one)\ntwo is not")).output == b"(one)\n"
    assert (await stream.tick(10.0)).output == b""
    assert (await stream.tick(10.05)).output == b""
    assert (await stream.tick(10.2)).output == b"two is not"
    assert not stream.waiting


async def test_a_line_that_can_not_go_on_does_not_wait(finder: StreamFinder) -> None:
    assert (await text_stream(finder).feed(b"done (3 of 3)\n")).output == b"done (3 of 3)\n"


async def expired(finder: StreamFinder, first: bytes, second: bytes) -> tuple[bytes, bytes]:
    stream = text_stream(finder)
    before = await stream.feed(first)
    await stream.tick(0)
    before += await stream.tick(60)
    after = await stream.feed(second) + await stream.end()
    return before.output, after.output


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (b"card 4111 1111", b"11111111 ok\n"),
        (b"key AKIAQYLP", b"MN5HXXV3J7KD ok\n"),
        (b"password=hunt", b"er2hunter2 ok\n"),
        (b"token ghp_16C7e4", b"2F292c6912E7710c838347Ae178B4a ok\n"),
        (b"from ada.lovelace@exa", b"mple.com ok\n"),
    ],
)
async def test_the_beginning_of_a_value_does_not_go_out_when_its_time_is_up(
    finder: StreamFinder, first: bytes, second: bytes
) -> None:
    before, after = await expired(finder, first, second)
    assert before.endswith(b"<UNFINISHED_VALUE>")
    assert first.split()[-1].split(b"=")[-1] not in before
    assert after.endswith(b" ok\n")
    assert second.split()[0] not in after


@pytest.mark.parametrize(
    "prompt", [b"deploy@web-1:~$ ", b"mysql> ", b"Password: ", b"[y/N] ", b"10 of 20 (50%)"]
)
async def test_prompts_go_out_as_they_are(finder: StreamFinder, prompt: bytes) -> None:
    assert await expired(finder, prompt, b"yes\n") == (prompt, b"yes\n")


async def test_what_was_shown_of_a_line_counts_for_the_rest_of_it(finder: StreamFinder) -> None:
    before, after = await expired(finder, b"password is: ", b"hunter2hunter2\n")
    assert before == b"password is: "
    before, after = await expired(finder, b"Authorization: Bearer ", b"abcdefgh12345678 x\n")
    assert b"abcdefgh" not in after


async def test_a_line_without_end_goes_out_in_parts(finder: StreamFinder) -> None:
    stream = text_stream(finder, bounds=Bounds(line=1024))
    words = b"word " * 1000
    values = f"{EMAIL} {CARD} {TOKEN} ".encode()
    raw = words + values + words + values + b"4" * 3000
    output = b""
    for start in range(0, len(raw), 100):
        output += (await stream.feed(raw[start : start + 100])).output
        assert start + 100 - len(output) < 4096
    output += (await stream.end()).output
    assert [v for v in (EMAIL, CARD, TOKEN) if v.encode() in output] == []
    assert output.count(b"word ") == 2000


async def test_memory_stays_bounded_under_one_endless_token(finder: StreamFinder) -> None:
    stream = text_stream(finder, bounds=Bounds(line=1024))
    for _ in range(50):
        await stream.feed(b"x" * 1000)
    assert len((await stream.end()).output) <= 1024


# -- charsets and bytes --------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["le", "be"])
async def test_utf_16_with_a_mark_is_read_and_written(finder: StreamFinder, order: str) -> None:
    name = f"utf-16-{order}"
    raw = f"\ufeffé {CARD} \U0001f511\nb\n".encode(name)
    pieces = [raw[i : i + 1] for i in range(len(raw))]
    assert (await masked(finder, *pieces)).decode(name) == "\ufeffé <CREDIT_CARD> \U0001f511\nb\n"


async def test_latin_1_is_read_and_its_bytes_stay(finder: StreamFinder) -> None:
    raw = f"café {CARD} für".encode("latin-1")
    assert await masked(finder, raw) == "café <CREDIT_CARD> für".encode("latin-1")


async def test_bytes_that_are_no_text_go_as_a_whole(finder: StreamFinder) -> None:
    packed = b"\x1f\x8b\x08\x00\x01\x02\x03\x90\xff\xfe\x80" + bytes(range(128, 200))
    output = await fed(text_stream(finder), [b"a (b)\n" + packed + b"\nc\n"])
    assert output.output == b"a (b)\n<UNREADABLE>\nc\n"
    assert output.counts["UNREADABLE"] == 1


async def test_a_character_split_over_chunks_comes_out_whole(finder: StreamFinder) -> None:
    raw = "naïve 🔑 Straße\n".encode()
    assert await masked(finder, *(raw[i : i + 1] for i in range(len(raw)))) == raw


# -- findings and failures -----------------------------------------------------------------------


async def test_findings_say_where_in_the_input(finder: StreamFinder) -> None:
    found = (await fed(text_stream(finder), [f"é\nto {EMAIL} (x)\n".encode()])).findings
    assert found == (Finding(6, 6 + len(EMAIL), 2, "EMAIL_ADDRESS", 1.0, "EmailAddressRecognizer"),)


async def test_only_wanted_entities_go(finder: StreamFinder) -> None:
    stream = text_stream(finder, wanted={"EMAIL_ADDRESS"}.__contains__)
    output = (await fed(stream, [f"{EMAIL} {CARD}\n".encode()])).output
    assert output == f"<EMAIL_ADDRESS> {CARD}\n".encode()


class Broken:
    """A finder whose worker does not start."""

    async def spans(self, texts: Sequence[ScanText]) -> list[list[Span]]:
        raise MaskingFailed

    async def column_spans(self, context: str, texts: Sequence[str]) -> dict[int, list[Span]]:
        raise MaskingFailed

    async def ready(self) -> None:
        raise MaskingFailed

    def may_hold(self, text: str) -> bool:
        return True

    def begins(self, text: str) -> int | None:
        return 0


async def test_what_can_not_be_searched_goes_as_a_whole_and_is_counted() -> None:
    result: Masked = await fed(text_stream(Broken()), [b"one two\n\x1b[1mthree\n\nend.\n"])
    assert result.output == b"<NOT_SCANNED>\n\x1b[1m<NOT_SCANNED>\n\n<NOT_SCANNED>\n"
    assert result.counts["NOT_SCANNED"] == 3
