"""How much a stream holds back, and for how long, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bounds of one stream.

    `line`: characters of an unfinished line. A longer one is cut where no value can be; a batch of
    the scan worker has as many, so that one costly text takes few others with it.

    `run`: characters of lines that may be pieces of one wrapped line. Their values are found up to
    half of it, far longer than any value but a key in PEM, which has a bound of its own.

    `document`: characters of a JSON or YAML document. A larger one is searched line by line: what
    is held must fit in memory for every stream at once.

    `wait`: seconds for the rest of a line, or for the line after it. A person waits for the echo
    of each key; a program that writes a line in two pieces does so within milliseconds.

    `document_wait`: seconds for the rest of a document. Tools write theirs in one go, over a
    network at most with the pauses of a lost packet.

    `key`: characters that belong to a private key without its end. The largest keys in use have
    some 13,000.
    """

    line: int = 16 * 1024
    run: int = 8 * 1024
    document: int = 1 << 20
    wait: float = 0.1
    document_wait: float = 2.0
    key: int = 64 * 1024
