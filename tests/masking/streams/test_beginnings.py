"""Values of packs and custom recognizers whose beginning has come, and whose end has not."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from masking import lanes
from masking.beginnings import Beginnings
from masking.entities import CustomPattern, CustomRecognizer, Recognition
from masking.errors import MaskingFailed
from masking.patterns import beginnings
from masking.scanning import ScanWorker
from masking.streams.bounds import Bounds
from masking.streams.stream import Stream, text_stream
from tests.masking.conftest import LocalFinder
from tests.masking.streams.feeding import fed, plainly

pytestmark = pytest.mark.anyio

BADGE = "EB-48151623"
NINO = "AB 12 34 56 C"
ORDER = "Z9F-7788990"
RECOGNITION = Recognition(
    packs=("uk",),
    custom=(
        CustomRecognizer("badge", "EMPLOYEE_BADGE", (CustomPattern("EB-[0-9]{8}", 0.6),)),
        CustomRecognizer("order", "ORDER", (CustomPattern(r"Z[0-9]F-[0-9]{7}", 0.3),), ("order",)),
    ),
)


@pytest.fixture(scope="module")
async def worker(anyio_backend: str) -> AsyncIterator[ScanWorker]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lanes, "START_DEADLINE", 600.0)  # on a busy machine too
        async with ScanWorker(deadline=600, recognition=RECOGNITION) as opened:
            yield opened


async def late(stream: Stream, first: bytes, second: bytes) -> tuple[str, str]:
    """What comes out where the second part comes after its time, and what before that."""
    before = await stream.feed(first)
    await stream.tick(0)
    before += await stream.tick(60)
    after = await stream.feed(second) + await stream.end()
    return before.output.decode(), after.output.decode()


@pytest.mark.parametrize("value", [BADGE, NINO])
async def test_a_value_in_chunks_is_found(worker: ScanWorker, value: str) -> None:
    raw = f"is {value} ok (x)\n".encode()
    masked = await fed(text_stream(worker), [raw[i : i + 3] for i in range(0, len(raw), 3)])
    assert masked.output in (b"is <EMPLOYEE_BADGE> ok (x)\n", b"is <UK_NINO> ok (x)\n")


@pytest.mark.parametrize(
    ("value", "cut"), [(v, n) for v in (BADGE, NINO) for n in range(5, len(v))]
)
async def test_its_beginning_does_not_go_out_when_its_time_is_up(
    worker: ScanWorker, value: str, cut: int
) -> None:
    first, second = f"is {value[:cut]}", f"{value[cut:]} ok (x)\n"
    before, after = await late(text_stream(worker), first.encode(), second.encode())
    assert before.startswith("is <")
    assert value[:cut].strip() not in before
    assert value[cut:] not in after
    assert after.endswith(" ok (x)\n")


@pytest.mark.parametrize("value", [BADGE, NINO])
async def test_colours_in_a_beginning_do_not_let_it_out(worker: ScanWorker, value: str) -> None:
    coloured = "".join(f"\x1b[3{n % 8}m{c}" for n, c in enumerate(value)).encode()
    cut = coloured.index(b"\x1b", len(coloured) * 3 // 4)
    before, after = await late(text_stream(worker), b"is " + coloured[:cut], coloured[cut:] + b"\n")
    shown = plainly(before.encode())
    assert shown.startswith("is <")
    assert [c for c in value if c.isdigit() and c in shown] == []
    assert plainly(after.encode()).rstrip().strip("C") in ("", "<UK_NINO>", "<EMPLOYEE_BADGE>")


@pytest.mark.parametrize("broken", [b"EB-4815\r\n16", b"EB-48\r\n1516", b"EB-4815\r\n"])
async def test_a_beginning_that_the_terminal_broke_does_not_go_out(
    worker: ScanWorker, broken: bytes
) -> None:
    columns = 13 + broken.index(b"\r")
    stream = text_stream(worker, columns=columns)
    rest = BADGE.encode()[len(broken) - 2 :]
    before, after = await late(stream, b"the badge is " + broken, rest + b" ok (x)\r\n")
    assert "EB-" not in before
    assert not any(c.isdigit() for c in before + after)
    assert after.endswith(" ok (x)\r\n")


@pytest.mark.parametrize("value", [BADGE, NINO])
async def test_a_long_line_is_not_cut_within_a_value(worker: ScanWorker, value: str) -> None:
    for shift in range(0, 40, 3):
        stream = text_stream(worker, bounds=Bounds(line=256))
        raw = ("word " * 45 + "x" * shift + f" {value} ").encode()
        masked = await fed(stream, [raw[i : i + 7] for i in range(0, len(raw), 7)])
        assert value not in masked.output.decode()
        assert value[-6:] not in masked.output.decode()
        assert value[:5] not in masked.output.decode()


async def test_what_needs_a_word_is_held_beside_it_alone(worker: ScanWorker) -> None:
    before, after = await late(text_stream(worker), b"the order Z9F-77", b"88990 x\n")
    assert (before, after) == ("the order <UNFINISHED_VALUE>", "<ORDER> x\n")
    assert await late(text_stream(worker), b"the part Z9F-77", b"88990 (x)\n") == (
        "the part Z9F-77",
        "88990 (x)\n",
    )


@pytest.mark.parametrize("prompt", [b"deploy@web-1:~$ ", b"mysql> ", b"[y/N] ", b"ls -la", b"EB-"])
async def test_prompts_and_words_go_out_as_they_are(worker: ScanWorker, prompt: bytes) -> None:
    assert (await late(text_stream(worker), prompt, b"\n"))[0].encode() == prompt


async def test_a_spelled_value_of_the_configuration_s_goes(worker: ScanWorker) -> None:
    raw = "".join(f"{c}\n" for c in f"x{BADGE}").encode()
    shown = (await fed(text_stream(worker), [raw])).output.decode().replace("\n", "")
    assert BADGE not in shown


class Unknown(LocalFinder):
    """A finder that has not heard of its worker: anything may begin."""

    async def ready(self) -> None:
        raise MaskingFailed("the scan worker does not start")

    def begins(self, text: str) -> int | None:
        return 0


async def test_where_nobody_knows_what_may_begin_an_unfinished_line_goes_whole(
    finder: LocalFinder,
) -> None:
    stream = text_stream(Unknown(finder.scanner))
    assert (await late(stream, b"hello wor", b"ld\n"))[0] == "<UNFINISHED_VALUE>"


async def test_a_worker_knows_of_beginnings_before_it_is_asked_for_anything() -> None:
    worker = ScanWorker(recognition=RECOGNITION)
    assert worker.begins("no worker has started") == 0
    assert ScanWorker().begins("EB-4815") is None


def test_every_pack_s_recognizers_say_how_their_values_begin() -> None:
    known = Beginnings(beginnings(RECOGNITION))
    assert known.start("is EB-4815") == 3
    assert known.start("is 12345 EB-48151623 of AB1234") == 24
    assert known.start("is EB-48151623.") is None
