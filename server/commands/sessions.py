"""`ostiary sessions`: what was recorded, read back, and whether it is still as it was written."""

from __future__ import annotations

import base64
import os
import sys
from argparse import Namespace

from policies.errors import ProtocolError
from recordings.replay import Replay
from recordings.sessions import StoredRecord
from server.commands.gateway_client import Document, open_gateway
from server.commands.native import live
from server.commands.terminal import show_fields, show_table
from server.commands.verdicts import tell
from server.identity.strict import Json, read_object

_COLUMNS = ("id", "opened", "principal", "agent", "target", "channel", "statements", "refused")


def list_(arguments: Namespace) -> int:
    """The newest sessions, or those that are open now at native doors."""
    if arguments.live:
        return live(arguments)
    with open_gateway(arguments.gateway, os.environ) as gateway:
        sessions = gateway.get("sessions").get("sessions")
    rows = [each for each in _list(sessions) if isinstance(each, dict)]
    show_table(
        (*_COLUMNS, "end"),
        (
            [str(row.get(name)) for name in _COLUMNS] + [str(row.get("end") or "open")]
            for row in rows
        ),
    )
    return 0


def show(arguments: Namespace) -> int:
    """Who opened a session, where and when."""
    with open_gateway(arguments.gateway, os.environ) as gateway:
        session = gateway.get("sessions", arguments.session)
    document = session.get("document")
    opening = document if isinstance(document, dict) else {}
    principal = opening.get("principal")
    who = principal if isinstance(principal, dict) else {"id": principal}
    show_fields(
        [
            ("session", str(session.get("id"))),
            ("opened", str(session.get("opened"))),
            ("principal", f"{who.get('name', '')} ({who.get('id', '')})".strip()),
            ("agent", str(who.get("agent") or opening.get("agent") or "")),
            ("groups", ", ".join(map(str, _list(who.get("groups"))))),
            ("target", str(opening.get("target", ""))),
            ("channel", str(opening.get("channel", ""))),
        ]
    )
    return 0


def replay(arguments: Namespace) -> int:
    """A session as a person reads it."""
    told = Replay()
    with open_gateway(arguments.gateway, os.environ) as gateway:
        for line in gateway.lines("sessions", arguments.session, "records"):
            for text in told.lines(stored_record(line)):
                print(text)  # escaped by the replay, and its gutter must stay as it is
    return 0


def export(arguments: Namespace) -> int:
    """A session as NDJSON, byte for byte as the gateway sends it."""
    with open_gateway(arguments.gateway, os.environ) as gateway:
        for line in gateway.lines("sessions", arguments.session, "records"):
            sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()
    return 0


def verify(arguments: Namespace) -> int:
    """Check every chain and body; 1 if something is not as it was written."""
    with open_gateway(arguments.gateway, os.environ) as gateway:
        verdict = gateway.post("verify", body={})
    checked = verdict.get("checked")
    if not isinstance(checked, dict):
        raise ProtocolError("the gateway sent no verdict")
    code = tell(checked)
    return code if verdict.get("good") is True else 1


def stored_record(line: bytes) -> StoredRecord:
    """One line of `recordings.export` -> the record. Raises `ProtocolError`."""
    try:
        match read_object(line):
            case {
                "stream": int(stream),
                "sequence": int(sequence),
                "at": int(at),
                "session": str(session),
                "kind": str(kind),
                "document": dict(document),
                "digest": str(digest),
                "hash": str(own_hash),
            } as fields:
                return StoredRecord(
                    stream=stream,
                    sequence=sequence,
                    at=at,
                    session=session,
                    kind=kind,
                    document=document,
                    body=_body(fields),
                    body_deleted=fields.get("body_encoding") == "deleted",
                    digest=bytes.fromhex(digest),
                    hash=bytes.fromhex(own_hash),
                )
            case _:
                raise ProtocolError("the gateway sent a line that is no record")
    except ValueError as error:
        raise ProtocolError("the gateway sent a line that is no record") from error


def _body(fields: Document) -> bytes | None:
    match fields.get("body_encoding"), fields.get("body"):
        case "utf-8", str(text):
            return text.encode()
        case "base64", str(text):
            return base64.b64decode(text, validate=True)
        case "none", _:
            return b""
        case (("deleted" | "missing"), _):
            return None
        case _:
            raise ValueError("unknown body encoding")


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []
