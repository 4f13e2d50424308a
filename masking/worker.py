"""The scan worker's process: batches in, spans out. `masking.scanning` is the gateway's side."""

from __future__ import annotations

import logging
import signal
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Final

from masking.engine import Scanner
from masking.scanning import ScanText
from masking.spans import Span

_LOG: Final = logging.getLogger("ostiary.masking")

Answer = list[list[Span]] | None
"""The spans of each text of a batch, or None: the batch could not be searched."""


def serve(connection: Connection) -> None:
    """Answers batches until the gateway's end of the pipe closes, as it does when it dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the gateway says when to stop
    scanner = Scanner()
    scanner.spans(["call (415) 555-0134"], "")  # loads what Presidio loads late
    with suppress(EOFError, OSError):
        connection.send("ready")
        while True:
            connection.send(_answer(scanner, connection.recv()))


def _answer(scanner: Scanner, batch: Sequence[ScanText]) -> Answer:
    try:
        return [scanner.spans([t.text], t.context)[0] for t in batch]
    except Exception as error:  # noqa: BLE001 - the process's boundary: the gateway fails closed
        _LOG.warning("a recognizer failed: %s", type(error).__name__)
        return None
