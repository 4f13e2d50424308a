"""`ostiary scan`: proposals of labels, as YAML to paste into the configuration."""

from __future__ import annotations

import json
import os
import re
from argparse import Namespace
from collections.abc import Iterable, Iterator
from typing import Final

import orjson

from policies.errors import BackendUnavailable, ProtocolError
from recordings.text import escaped
from server.commands.gateway_client import Document, open_gateway
from server.commands.terminal import complain
from server.identity.strict import Json

_PLAIN: Final = re.compile(r"[a-z_][a-z0-9_$]*")
_PATIENCE: Final = 300.0  # seconds that one table may take
_FIRST, _LAST = "tables", "done"


def scan(arguments: Namespace) -> int:
    """Print what is proposed; 1 if a table could not be sampled."""
    body: dict[str, Json] = {
        "target": arguments.target,
        "tables": arguments.table,
        "columns": arguments.column,
        "sample": arguments.sample,
    }
    tables: list[Document] = []
    with open_gateway(arguments.gateway, os.environ) as gateway:
        for table in _scanned(gateway.post_lines("scan", body=body, patience=_PATIENCE)):
            tables.append(table)
            if arguments.json:
                print(json.dumps(table), flush=True)  # in ASCII: names may hold anything
    if not arguments.json:
        for line in proposals(arguments.target, tables):
            print(line)
    return 1 if any(_text(table, "trouble") for table in tables) else 0


def _scanned(lines: Iterable[bytes]) -> Iterator[Document]:
    """The tables as they come, with progress. Raises `BackendUnavailable` if the end is missing."""
    total, seen, ended = 0, 0, False
    for line in lines:
        found = _document(line)
        if _LAST in found:
            ended = True
        elif _FIRST in found:
            total = int(str(found[_FIRST]))
            if left_out := _left_out(found):
                complain(f"{left_out} more tables are not looked at: name them with --table")
        else:
            seen += 1
            complain(f"{_name(found)}: {_progress(found)} ({seen} of {total})")
            yield found
    if not ended:
        raise BackendUnavailable("the scan ended before its end: what is proposed is not all")


def proposals(target: str, tables: Iterable[Document]) -> Iterator[str]:
    """The YAML, line by line: rules, and what is worth a look as comments."""
    found = list(tables)
    rules = [line for table in found for line in _rules(table)]
    yield f"# Proposed for target {escaped(target)} by a scan of {len(found)} tables."
    yield "# Nothing is changed: read it, and paste what is right under `columns` of the target."
    yield "columns:" if any(line.startswith("  -") for line in rules) else "columns: []"
    yield from rules


def _rules(table: Document) -> Iterator[str]:
    if trouble := _text(table, "trouble"):
        yield f"  # {escaped(_name(table))} was not sampled: {escaped(trouble)}"
    if left_out := _left_out(table):
        yield f"  # {escaped(_name(table))} has {left_out} more columns: name them with --column"
    for column in _documents(table.get("columns")):
        name = _quoted(_text(table, "schema"), _text(table, "table"), _text(column, "column"))
        evidence = _evidence(column)
        labels = column.get("labels")
        if isinstance(labels, list) and labels:
            yield f"  # {escaped(name)} has a label already: {escaped(', '.join(map(str, labels)))}"
        elif isinstance(rule := column.get("rule"), dict):
            yield f"  # {escaped(evidence)}"
            said = f"label: {_text(rule, 'label')}, mask: {_text(rule, 'mask')}"
            yield f"  - {{column: {_yaml(name)}, {said}}}"
        elif evidence:
            yield f"  # {escaped(name)}, no rule: {escaped(evidence)}"


def _evidence(column: Document) -> str:
    values = _text(column, "values")
    said = [
        f"{_text(e, 'entity')} in {_percent(e)} of {values} values"
        f" (score {_text(e, 'score')}, like {_text(e, 'example')})"
        for e in _documents(column.get("evidence"))
    ]
    if hint := _text(column, "hint"):
        said.append(f"named like {hint}")
    return "; ".join(said)


def _percent(evidence: Document) -> str:
    share = evidence.get("share")
    return f"{share:.0%}" if isinstance(share, int | float) else "?"


def _progress(table: Document) -> str:
    if trouble := _text(table, "trouble"):
        return f"not sampled: {trouble}"
    columns = _documents(table.get("columns"))
    proposed = sum(1 for column in columns if column.get("rule"))
    return f"{_text(table, 'rows')} rows, {len(columns)} columns, {proposed} proposed"


def _name(table: Document) -> str:
    return _quoted(_text(table, "schema"), _text(table, "table"))


def _quoted(*names: str) -> str:
    """Names as the configuration reads them: in quotes where they are not plain."""
    return ".".join(
        name if _PLAIN.fullmatch(name) else '"' + name.replace('"', '""') + '"' for name in names
    )


def _yaml(text: str) -> str:
    """A scalar that reads back as this text, and that a terminal shows as it is."""
    return text if '"' not in text else '"' + "".join(map(_in_quotes, text)) + '"'


def _in_quotes(character: str) -> str:
    """A character in a double-quoted scalar (YAML 1.1 and 1.2, section 5.7)."""
    if character in '"\\':
        return "\\" + character
    if escaped(character) == character:
        return character
    number = ord(character)
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"


def _left_out(found: Document) -> int:
    count = found.get("left_out")
    return count if isinstance(count, int) else 0


def _document(line: bytes) -> Document:
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise ProtocolError("this is not an Ostiary gateway: a line is not JSON") from error
    if not isinstance(found, dict):
        raise ProtocolError("this is not an Ostiary gateway: a line is no object")
    return found


def _documents(value: Json) -> list[Document]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _text(document: Document, name: str) -> str:
    value = document.get(name)
    return "" if value is None else str(value)
