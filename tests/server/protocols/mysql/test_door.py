"""The MySQL door's pure parts: logins, KILL, what is kept, values as actions have them."""

from __future__ import annotations

import struct

import pytest

from masking import mysql_types as t
from policies.errors import Denied, ProtocolError, Refusal, Unauthenticated
from policies.model import Parameter
from policies.sql.facts import SqlEffect, SqlFacts, TableName, TableUse
from recordings.events import Outcome
from server.protocols.mysql import answers as a
from server.protocols.mysql import capabilities as c
from server.protocols.mysql import parameters as p
from server.protocols.mysql.bound import of_action, sent_with
from server.protocols.mysql.greeting import hello
from server.protocols.mysql.handshake import HandshakeResponse
from server.protocols.mysql.killing import Killed, killed
from server.protocols.mysql.own_state import OwnDefinitions, is_kept
from server.protocols.mysql.wording import ended, fatal, refused

FLAGS = c.REQUIRED | c.CONNECT_WITH_DB


def login(user: str, database: str = "", charset: int = 45) -> HandshakeResponse:
    return HandshakeResponse(FLAGS, user, database=database, charset=charset)


@pytest.mark.parametrize(
    ("user", "database", "door", "target"),
    [
        ("ada", "shop", "", "shop"),
        ("ada+shop", "", "", "shop"),
        ("ada", "", "shop", "shop"),
        ("ada", "shop", "shop", "shop"),
        ("ada+shop", "", "shop", "shop"),
    ],
)
def test_the_target_of_a_login(user: str, database: str, door: str, target: str) -> None:
    assert hello(login(user, database), door).target == target


@pytest.mark.parametrize(
    ("message", "door"),
    [
        (login("ada"), ""),
        (login("ada", "other"), "shop"),
        (login("ada+other"), "shop"),
        (login("ada", "shop", charset=8), ""),
        (login("ada", "shop", charset=63), ""),
        (HandshakeResponse(FLAGS & ~c.PLUGIN_AUTH, "ada", database="shop"), ""),
    ],
)
def test_logins_that_are_refused(message: HandshakeResponse, door: str) -> None:
    with pytest.raises(Denied):
        hello(message, door)


def test_a_login_without_a_user_is_none() -> None:
    with pytest.raises(ProtocolError):
        hello(login("", "shop"))


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("KILL QUERY 12", Killed(12, whole=False)),
        ("/* ApplicationName=x */ kill query 12 ;", Killed(12, whole=False)),
        ("KILL 12", Killed(12, whole=True)),
        ("KILL CONNECTION 12", Killed(12, whole=True)),
        ("KILL QUERY 12; SELECT 1", None),
        ("KILL QUERY ID 12", None),
        ("KILL USER ada", None),
        ("KILL QUERY 1+1", None),
        ("/*! KILL */ KILL 1", None),
        ("SELECT 'KILL 1'", None),
        ("KILL QUERY " + "1" * 300, None),
    ],
)
def test_kill(text: str, asked: Killed | None) -> None:
    assert killed(text) == asked


def test_utf8_is_kept_as_utf8mb4() -> None:
    kept = ["SET NAMES utf8", "set names 'utf8mb3';", "SET character_set_results = utf8"]
    others = ["SET NAMES utf8mb4", "SET NAMES latin1", "SET NAMES utf8, autocommit = 0", "SELECT 1"]
    assert [is_kept(text) for text in kept] == [True, True, True]
    assert [is_kept(text) for text in others] == [False] * 4


def test_values_are_recorded_one_for_one() -> None:
    values = (
        p.Parameter(p.Kind(t.LONGLONG), (-5).to_bytes(8, "little", signed=True)),
        p.Parameter(p.Kind(t.TINY, unsigned=True), b"\xff"),
        p.Parameter(p.Kind(t.DOUBLE), struct.pack("<d", 0.1)),
        p.Parameter(p.Kind(t.VAR_STRING), "zoë".encode()),
        p.Parameter(p.Kind(t.BLOB), b"\xff\x00"),
        p.Parameter(p.Kind(t.DATE), b"\xe8\x07\x02\x1d"),
        p.Parameter(p.Kind(t.NULL), None),
    )
    assert of_action(values) == (
        Parameter(b"-5", type=t.LONGLONG, scalar="integer"),
        Parameter(b"255", type=t.TINY, scalar="integer"),
        Parameter(b"0.1", type=t.DOUBLE, scalar="float"),
        Parameter("zoë".encode(), type=t.VAR_STRING),
        Parameter(b"\xff\x00", binary=True, type=t.BLOB),
        Parameter(b"\xe8\x07\x02\x1d", binary=True, type=t.DATE),
        Parameter(None, type=t.NULL),
    )


def test_values_that_came_beforehand_are_sent_with_the_others() -> None:
    long = p.Parameter(p.Kind(t.LONGLONG), b"1 OR 1=1", long=True)
    assert sent_with([long]) == (p.Parameter(p.Kind(t.VAR_STRING), b"1 OR 1=1"),)


def test_tables_are_unknown_after_what_may_have_hidden_them() -> None:
    own = OwnDefinitions()
    reads = SqlFacts(SqlEffect.READ, tables=(TableUse("select", TableName("app", "users")),))
    own.note(SqlFacts(SqlEffect.DDL), "CREATE TABLE t (a INT)")
    assert own.stale
    assert own.judged(reads) is reads
    own.note(None, "CREATE TEMPORARY TABLE users (a INT)")
    assert own.judged(reads).opaque is not None


def test_the_end_of_a_result_by_what_both_sides_have() -> None:
    outcome = Outcome(3, 7, 1, c.AUTOCOMMIT | c.SESSION_STATE_CHANGED, b"", ((1, b"\x01x"),))
    plain = ended(outcome, rows=False, capabilities=0)
    assert plain == a.Ok(3, 7, c.AUTOCOMMIT, 1)
    tracked = ended(outcome, rows=False, capabilities=c.SESSION_TRACK)
    assert isinstance(tracked, a.Ok)
    assert tracked.changes == (a.Change(1, b"\x01x"),)
    assert ended(outcome, rows=True, capabilities=0) == a.Eof(1, c.AUTOCOMMIT)
    assert ended(outcome, rows=True, capabilities=c.DEPRECATE_EOF).encode(c.DEPRECATE_EOF)[0] == 254


def test_errors_by_what_happened() -> None:
    refusal = Refusal("FORBIDDEN", "Nobody may.", "Ask for less.", policy="no-one")
    assert refused(refusal) == a.Err(
        1142, "42000", "Nobody may. Ask for less. (FORBIDDEN, policy no-one)"
    )
    assert fatal(Unauthenticated("secret reason")).code == 1045
    assert "secret" not in fatal(Unauthenticated("secret reason")).message
    with pytest.raises(KeyError):
        fatal(KeyError("x"))
