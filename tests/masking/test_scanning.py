"""The scan worker: a real process, also when it dies or is late."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.context import SpawnProcess

import anyio
import pytest

from masking import lanes
from masking.cells import ColumnShape, Masker, Scan
from masking.engine import Scanner
from masking.fast.database import Prefilter
from masking.fast.scanner import FastScanner
from masking.lanes import Answer, Batch, Greeting
from masking.operators import PseudonymKey
from masking.recognizers.email import EmailAddressRecognizer
from masking.scanning import BATCH, ScanText, ScanWorker
from masking.spans import NOT_SCANNED, Span
from masking.worker import answered

MAIL = ScanText("mail bob@example.com")
FOUND = [[Span(5, 20, "EMAIL_ADDRESS")]]
NOBODY_LOOKED = [[Span(0, 20, NOT_SCANNED)]]


@pytest.fixture(scope="module")
def worker() -> Iterator[ScanWorker]:
    """One worker for the module; each test leaves it able to work, however busy the machine is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lanes, "START_DEADLINE", 600.0)
        worker = ScanWorker(deadline=600)
        anyio.run(worker.__aenter__)
        yield worker
        anyio.run(partial(worker.__aexit__, None, None, None))


@contextmanager
def impatiently(worker: ScanWorker) -> Iterator[None]:
    """A deadline that comes soon, for a worker that is stopped and so late for sure."""
    (lane,) = worker._lanes
    usual, lane._deadline = lane._deadline, 0.2
    try:
        yield
    finally:
        lane._deadline = usual


async def _pid(worker: ScanWorker) -> int:
    """The worker's process, once it works."""
    assert await worker.spans([MAIL]) == FOUND
    (process,) = [p for p in multiprocessing.active_children() if p.name == "ostiary-scan-worker"]
    assert process.pid is not None
    return process.pid


@pytest.mark.anyio
async def test_the_worker_finds_what_the_scanner_finds(
    worker: ScanWorker, scanner: Scanner
) -> None:
    texts = [
        MAIL,
        ScanText("nothing"),
        ScanText("4155550134", "phone"),
        ScanText("4155550134", "order_number"),
        ScanText("x" * BATCH + " eve@example.com"),
        MAIL,
    ]
    expected = [scanner.spans([t.text], t.context)[0] for t in texts]
    assert await worker.spans(texts) == expected
    assert [len(spans) for spans in expected] == [1, 0, 1, 0, 1, 1]


@pytest.mark.anyio
async def test_cleared_texts_need_no_worker() -> None:
    assert await ScanWorker().spans([ScanText("paid"), ScanText("42", "id")]) == [[], []]


@pytest.mark.anyio
async def test_a_worker_that_died_is_replaced(worker: ScanWorker) -> None:
    first = await _pid(worker)
    os.kill(first, signal.SIGKILL)
    with anyio.fail_after(600):
        await worker.spans([MAIL])
        assert await _pid(worker) != first


@pytest.mark.anyio
async def test_a_late_worker_is_replaced_and_its_texts_go_whole(worker: ScanWorker) -> None:
    first = await _pid(worker)
    os.kill(first, signal.SIGSTOP)
    with impatiently(worker):
        assert await worker.spans([MAIL]) == NOBODY_LOOKED
    assert await _pid(worker) != first


@pytest.mark.anyio
async def test_a_worker_that_dies_over_a_text_does_not_let_it_through(worker: ScanWorker) -> None:
    os.kill(pid := await _pid(worker), signal.SIGSTOP)
    answers: list[list[list[Span]]] = []

    async def ask() -> None:
        answers.append(await worker.spans([MAIL]))

    with anyio.fail_after(600):
        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            await anyio.lowlevel.checkpoint()
            os.kill(pid, signal.SIGKILL)
    # Whether it died before the text was handed over or after is the kernel's choice.
    assert answers in ([FOUND], [NOBODY_LOOKED])


@pytest.mark.anyio
async def test_a_caller_that_leaves_does_not_disturb_the_next(worker: ScanWorker) -> None:
    os.kill(pid := await _pid(worker), signal.SIGSTOP)
    with anyio.move_on_after(0.05) as left:
        await worker.spans([ScanText("call (415) 555-0134")])
    os.kill(pid, signal.SIGCONT)
    assert left.cancelled_caught
    with anyio.fail_after(600):
        assert await worker.spans([MAIL]) == FOUND


@pytest.mark.anyio
async def test_cells_of_a_late_worker_are_masked_whole_and_counted(worker: ScanWorker) -> None:
    masker = Masker(PseudonymKey(b"k" * 32), worker)
    plan = masker.plan([ColumnShape("a", 25)], [Scan()])
    os.kill(await _pid(worker), signal.SIGSTOP)
    with impatiently(worker):
        masked = await masker.rows(plan, [[b"mail bob@example.com"], [b"eve@example.com"]])
    assert masked.rows == [[b"<NOT_SCANNED>"], [b"<NOT_SCANNED>"]]
    assert masked.counts == {NOT_SCANNED: 2}


@dataclass(slots=True)
class Watched:
    """The workers that were started, by their process ids."""

    started: list[int] = field(default_factory=list)
    stopped: bool = False
    """Whether they are stopped as soon as they are there."""


@pytest.fixture
def watched(worker: ScanWorker, monkeypatch: pytest.MonkeyPatch) -> Watched:
    """What starts from here on: the module's own worker may still be coming back."""
    (lane,) = worker._lanes
    anyio.run(lane.ready)
    watch, start = Watched(), SpawnProcess.start

    def noted(process: SpawnProcess) -> None:
        start(process)
        assert process.pid is not None
        watch.started.append(process.pid)
        if watch.stopped:
            os.kill(process.pid, signal.SIGSTOP)

    monkeypatch.setattr(SpawnProcess, "start", noted)
    return watch


@pytest.mark.anyio
async def test_a_worker_that_starts_slowly_is_not_killed_and_texts_go_whole_until_it_is_ready(
    monkeypatch: pytest.MonkeyPatch, watched: Watched
) -> None:
    monkeypatch.setattr(lanes, "START_DEADLINE", 0.05)
    monkeypatch.setattr(lanes, "PATIENCE", 0.0)
    watched.stopped = True
    async with ScanWorker(deadline=600) as worker:
        for _ in range(3):
            assert await worker.spans([MAIL, ScanText("paid")]) == [*NOBODY_LOOKED, []]
        monkeypatch.setattr(lanes, "START_DEADLINE", 600.0)
        (slow,) = watched.started
        os.kill(slow, signal.SIGCONT)
        assert await worker.spans([MAIL]) == FOUND
    assert watched.started == [slow]


@pytest.mark.anyio
async def test_a_worker_that_hangs_while_it_starts_is_replaced(
    monkeypatch: pytest.MonkeyPatch, watched: Watched
) -> None:
    monkeypatch.setattr(lanes, "GIVEN_UP", 0.0)
    monkeypatch.setattr(lanes, "RETRY", 0.0)
    watched.stopped = True
    async with ScanWorker(deadline=600) as worker:
        assert await worker.spans([MAIL]) == NOBODY_LOOKED
        monkeypatch.setattr(lanes, "GIVEN_UP", 900.0)
        monkeypatch.setattr(lanes, "START_DEADLINE", 600.0)
        watched.stopped = False
        with anyio.fail_after(600):
            while await worker.spans([MAIL]) != FOUND:
                await anyio.sleep(0.2)
    assert len(watched.started) == 2


@pytest.mark.anyio
async def test_a_worker_that_still_starts_is_not_waited_for_at_the_end(
    monkeypatch: pytest.MonkeyPatch, watched: Watched
) -> None:
    monkeypatch.setattr(lanes, "START_DEADLINE", 600.0)
    watched.stopped = True
    with anyio.fail_after(60):
        async with ScanWorker() as worker:
            worker.warm()
            while not watched.started:
                await anyio.sleep(0.01)
    (started,) = watched.started
    with pytest.raises(ProcessLookupError):
        os.kill(started, 0)


@pytest.mark.anyio
async def test_a_worker_that_can_not_start_costs_its_texts_and_is_not_tried_again_at_once(
    monkeypatch: pytest.MonkeyPatch, watched: Watched
) -> None:
    monkeypatch.setattr(lanes, "_run", sys.exit)  # it ends as soon as it runs
    monkeypatch.setattr(lanes, "RETRY", 600.0)
    async with ScanWorker() as worker:
        for _ in range(3):
            assert await worker.spans([MAIL, ScanText("paid")]) == [*NOBODY_LOOKED, []]
    assert len(watched.started) == 1


GATEWAY = """
import anyio
from masking.scanning import ScanText, ScanWorker

async def main():
    async with ScanWorker() as worker:
        await worker.spans([ScanText("bob@example.com")])
        print("up", flush=True)
        await anyio.sleep_forever()

if __name__ == "__main__":
    anyio.run(main)
"""


def test_the_worker_ends_with_a_gateway_that_is_killed(tmp_path: object) -> None:
    script = f"{tmp_path}/gateway.py"
    with open(script, "w") as file:
        file.write(GATEWAY)
    with ExitStack() as stack:
        gateway = stack.enter_context(
            subprocess.Popen(
                [sys.executable, script],
                stdout=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": os.getcwd()},
            )
        )
        assert gateway.stdout is not None
        assert gateway.stdout.readline() == b"up\n"
        gateway.kill()
        # The worker holds the other end of this pipe as long as it lives.
        assert gateway.communicate(timeout=30)[0] == b""


@pytest.mark.anyio
async def test_a_worker_hands_its_prefilter_over(worker: ScanWorker) -> None:
    await _pid(worker)
    assert worker.clears
    assert await worker.column_spans("note", ["paid", "日本", "bob@example.com", "paid"]) == {
        2: [Span(0, 15, "EMAIL_ADDRESS")]
    }


@pytest.mark.anyio
async def test_a_spoilt_prefilter_is_not_used_and_the_same_is_found(
    worker: ScanWorker, caplog: pytest.LogCaptureFixture
) -> None:
    await _pid(worker)
    spoilt = ScanWorker()
    spoilt._greeted(Greeting(Prefilter(1, frozenset(), {}, {})))
    assert not spoilt.clears
    assert "the prefilter is not used" in caplog.text


@pytest.mark.anyio
async def test_texts_of_all_columns_are_found_by_several_workers() -> None:
    async with ScanWorker(workers=2) as worker:
        found: list[dict[int, list[Span]]] = []

        async def ask() -> None:
            found.append(await worker.column_spans("", ["mail bob@example.com"]))

        with anyio.fail_after(600):
            async with anyio.create_task_group() as group:
                group.start_soon(ask)
                group.start_soon(ask)
        assert found == [{0: FOUND[0]}] * 2


@pytest.mark.anyio
async def test_rechecked_texts_are_found_alike_and_nothing_is_reported() -> None:
    async with ScanWorker(recheck=1.0) as worker:
        texts = ["paid", "mail bob@example.com", "call (415) 555-0134"]
        with anyio.fail_after(600):
            assert sorted(await worker.column_spans("", texts)) == [1, 2]
        assert worker.differences == 0


@pytest.mark.sources
def test_a_difference_masks_what_either_way_found_and_counts(scanner: Scanner) -> None:
    class Blind(FastScanner):
        """Misses what is in the first five characters."""

        def column(self, context: str, texts: Sequence[str]) -> dict[int, list[Span]]:
            return {i: [Span(6, 8, "X")] for i, _ in enumerate(texts)}

    batch = Batch([ScanText("a@b.io 42"), ScanText("42")], rechecked=[0])
    answer = answered(Blind([EmailAddressRecognizer()]), batch)
    assert answer == Answer(
        {0: [Span(0, 6, "EMAIL_ADDRESS"), Span(6, 8, "X")], 1: [Span(6, 8, "X")]}, differences=1
    )
