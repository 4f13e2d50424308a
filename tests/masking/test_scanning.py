"""The scan worker: a real process, also when it dies or is late."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

import anyio
import pytest

from masking import scanning
from masking.cells import ColumnShape, Masker, Scan
from masking.engine import Scanner
from masking.errors import MaskingFailed
from masking.operators import PseudonymKey
from masking.scanning import BATCH, ScanText, ScanWorker
from masking.spans import NOT_SCANNED, Span

MAIL = ScanText("mail bob@example.com")
FOUND = [[Span(5, 20, "EMAIL_ADDRESS")]]
NOBODY_LOOKED = [[Span(0, 20, NOT_SCANNED)]]


@pytest.fixture(scope="module")
def worker() -> Iterator[ScanWorker]:
    """One worker for the module; each test leaves it able to work."""
    worker = ScanWorker(deadline=3)
    anyio.run(worker.__aenter__)
    yield worker
    anyio.run(partial(worker.__aexit__, None, None, None))


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
    with anyio.fail_after(60):
        await worker.spans([MAIL])
        assert await _pid(worker) != first


@pytest.mark.anyio
async def test_a_late_worker_is_replaced_and_its_texts_go_whole(worker: ScanWorker) -> None:
    first = await _pid(worker)
    os.kill(first, signal.SIGSTOP)
    with anyio.fail_after(60):
        assert await worker.spans([MAIL]) == NOBODY_LOOKED
        assert await _pid(worker) != first


@pytest.mark.anyio
async def test_a_worker_that_dies_over_a_text_does_not_let_it_through(worker: ScanWorker) -> None:
    os.kill(pid := await _pid(worker), signal.SIGSTOP)
    answers: list[list[list[Span]]] = []

    async def ask() -> None:
        answers.append(await worker.spans([MAIL]))

    with anyio.fail_after(60):
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
    with anyio.fail_after(60):
        assert await worker.spans([MAIL]) == FOUND


@pytest.mark.anyio
async def test_cells_of_a_late_worker_are_masked_whole_and_counted(worker: ScanWorker) -> None:
    masker = Masker(PseudonymKey(b"k" * 32), worker)
    plan = masker.plan([ColumnShape("a", 25), ColumnShape("b", 3802)], [Scan(), Scan()])
    os.kill(await _pid(worker), signal.SIGSTOP)
    with anyio.fail_after(60):
        masked = await masker.rows(plan, [[b"mail bob@example.com", b'{"m": "eve@example.com"}']])
    assert masked.rows == [[b"<NOT_SCANNED>", b'"<NOT_SCANNED>"']]
    assert masked.counts == {NOT_SCANNED: 2}


@pytest.mark.anyio
async def test_without_a_worker_nothing_is_delivered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanning, "START_DEADLINE", 0.0)
    async with ScanWorker() as worker:
        with pytest.raises(MaskingFailed, match="does not start"):
            await worker.spans([MAIL])


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
