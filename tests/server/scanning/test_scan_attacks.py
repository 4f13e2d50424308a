"""Attempts to steer an administrator's terminal or configuration by names, and to see values."""

from __future__ import annotations

import json

import pytest
import yaml

from masking.spans import Span
from recordings.text import escaped
from server.commands.scan import proposals
from server.identity.strict import Json
from server.scanning.judging import judged, shape

# Names of at most 63 bytes, as PostgreSQL takes them.
RULE = "- {column: public.customers.ssn, label: none, mask: none}"
NAMES = [
    f"x\n  {RULE}",
    f"x\r\n  {RULE}",
    f"x\x85  {RULE}",
    f"x\u2028  {RULE}",
    f'", label: none}}\n  {RULE}'[:63],
    "x\x1b]0;owned\x07\x1b[2J\x9b31m",
    "\u202egnp.exe\u2066",
    "a: b # c",
    "- !!python/object/apply:os.system [id]",
    "&anchor *alias %TAG ! | > ? @ `",
    "\\x41\\u0041\\",
    "tab\tnul-less\x7f",
    "日本語 é \U0001f600 \U000e0041",
    "'\"''\"\"",
    "Null",
    "1e5",
    ".",
    " leading and trailing ",
    "\ufeffbom",
]


def column(name: str, *, rule: bool = True, labels: tuple[Json, ...] = ()) -> dict[str, Json]:
    proposed: Json = {"label": "pii", "mask": "email"} if rule else None
    return {
        "column": name,
        "type": "text",
        "values": 3,
        "evidence": [{"entity": "EMAIL_ADDRESS", "share": 1.0, "score": 1.0, "example": "x@x"}],
        "hint": "",
        "rule": proposed,
        "labels": [*labels],
    }


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_name_is_nothing_but_a_name_in_the_rules_that_are_pasted(name: str) -> None:
    tables: list[dict[str, Json]] = [
        {
            "schema": name,
            "table": name,
            "columns": [column(name), column(name, rule=False), column(name, labels=(name,))],
            "trouble": "it took too long",
            "left_out": 3,
        }
    ]
    said = "\n".join(proposals(name, tables))
    assert [line for line in said.split("\n") if escaped(line) != line] == []
    assert yaml.safe_load(said) == {
        "columns": [
            {"column": ".".join([quoted(name)] * 3), "label": "pii", "mask": "email"},
        ]
    }


def test_a_table_without_a_sample_is_a_comment_whatever_its_name() -> None:
    name = NAMES[0]
    table: dict[str, Json] = {"schema": "public", "table": name, "trouble": f"why\n  {RULE}"}
    assert yaml.safe_load("\n".join(proposals("shop", [table]))) == {"columns": []}


def test_names_in_json_are_ascii() -> None:
    assert json.dumps(NAMES[5]).isascii()


SECRETS = ["$%^&*!~", "p@$$w0rd!", "«geheim»", "\x1b[31mred", "{}[]<>|\\", "½¾⅓", "٣٤٥"]


@pytest.mark.parametrize("value", SECRETS)
def test_the_shape_of_a_value_does_not_say_which_signs_are_in_it(value: str) -> None:
    seen = shape(value)
    assert set(seen) <= set("x9?@.-_+/: ()…")
    whole = judged("c", "text", [value], [[Span(0, len(value), "SECRET")]])
    assert whole.evidence[0].example == seen != value
