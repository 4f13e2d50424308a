"""The scan worker's process: batches in, spans out. `masking.lanes` is the gateway's side."""

from __future__ import annotations

import logging
import signal
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Final

from masking.engine import recognizers
from masking.entities import Recognition
from masking.fast.scanner import FastScanner
from masking.lanes import Answer, Batch, Greeting
from masking.patterns import beginnings
from masking.spans import Span, disjoint_cover

_LOG: Final = logging.getLogger("ostiary.masking")


def serve(connection: Connection, recognition: Recognition) -> None:
    """Answers batches until the gateway's end of the pipe closes, as it does when it dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the gateway says when to stop
    scanner = FastScanner(None if recognition == Recognition() else recognizers(recognition))
    scanner.spans(["call (415) 555-0134"], "")  # loads what Presidio loads late
    with suppress(EOFError, OSError):
        connection.send(Greeting(scanner.prefilter, beginnings(recognition)))
        while True:
            connection.send(answered(scanner, connection.recv()))


def answered(scanner: FastScanner, batch: Batch) -> Answer | None:
    """The batch's spans; None where it could not be searched."""
    try:
        found = _found(scanner, batch)
        again = {i: again for i in batch.rechecked if (again := _again(scanner, batch, i, found))}
        return Answer(found | again, len(again))
    except Exception as error:  # noqa: BLE001 - the process's boundary: the gateway fails closed
        _LOG.warning("a batch could not be searched: %s", type(error).__name__)
        return None


def _found(scanner: FastScanner, batch: Batch) -> dict[int, list[Span]]:
    columns: dict[str, list[int]] = {}
    for index, text in enumerate(batch.texts):
        columns.setdefault(text.context, []).append(index)
    return {
        indexes[place]: spans
        for context, indexes in columns.items()
        for place, spans in scanner.column(context, [batch.texts[i].text for i in indexes]).items()
    }


def _again(
    scanner: FastScanner, batch: Batch, index: int, found: dict[int, list[Span]]
) -> list[Span]:
    """What both ways find together, where they don't agree on a text; else nothing."""
    text = batch.texts[index]
    fast, plain = found.get(index, []), scanner.plain.unfiltered(text.text, text.context)
    return [] if fast == plain else disjoint_cover([*fast, *plain])
