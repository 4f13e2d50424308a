"""Login and conversation against a real MariaDB. There is no MySQL 8 server in Debian."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from masking import mysql_types as t
from recordings.events import Columns, Done, Failed, Native, Rows
from recordings.rows import row_codec
from server.protocols.mysql import capabilities as c
from server.protocols.mysql import commands as m
from server.protocols.mysql.login import Channel, Login, LoginRefused
from server.protocols.mysql.parameters import Kind, Parameter
from server.protocols.mysql.statements import written
from tests.fixtures.mariadb import MariaDbServer
from tests.server.protocols.mysql.talking import (
    WANTED,
    Talk,
    cells,
    columns_of,
    connected,
    local,
)

pytestmark = pytest.mark.programs

TABLE = """
DROP DATABASE IF EXISTS codec; CREATE DATABASE codec CHARACTER SET utf8mb4; USE codec;
CREATE TABLE every (
  id INT PRIMARY KEY, ti TINYINT, si SMALLINT UNSIGNED, mi MEDIUMINT, bi BIGINT UNSIGNED,
  de DECIMAL(20,4), fl FLOAT, do DOUBLE, da DATE, tm TIME(6), dt DATETIME(6), ts TIMESTAMP NULL,
  ye YEAR, ch CHAR(5), vc VARCHAR(300), bl LONGBLOB, en ENUM('a','b'), st SET('x','y'), bt BIT(12),
  js JSON, ge GEOMETRY);
INSERT INTO every VALUES
 (1,-1,65535,-8388608,18446744073709551615,'1234.5678',1.5,-2.25,'2024-02-29','-838:59:59.000001',
  '2024-02-29 23:59:59.123456','2024-01-01 00:00:00',2024,'abc',REPEAT('x',251),REPEAT('y',70000),
  'b','x,y',b'101','{"a": 1}',POINT(1,2)),
 (2,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,
  NULL),
 (3,0,0,0,0,0,0,0,'2024-02-29','00:00:00','2024-02-29 00:00:00','2024-01-01 10:11:12',1901,'','',
  '','a','',0,'[]',NULL),
 (4,1,1,1,1,-1,1,1,'1000-01-01','12:00:00','2024-02-29 10:11:12','2024-01-01 10:11:12',2155,'ä',
  '数','\\0','a','y',1,'null',NULL);
SET SESSION sql_mode = '';
INSERT INTO every (id, da, dt) VALUES (5, '0000-00-00', '0000-00-00 00:00:00');
CREATE TABLE many (n INT PRIMARY KEY AUTO_INCREMENT, word VARCHAR(20) DEFAULT 'w');
INSERT INTO many (n) SELECT seq FROM seq_1_to_3000;
"""
ACCOUNTS = """
CREATE OR REPLACE USER native@localhost IDENTIFIED VIA mysql_native_password
  USING PASSWORD('correct horse');
CREATE OR REPLACE USER edward@localhost IDENTIFIED VIA ed25519 USING PASSWORD('correct horse');
"""


@pytest.fixture(scope="module")
def server(mariadb: MariaDbServer) -> MariaDbServer:
    mariadb.run("INSTALL SONAME 'auth_ed25519'")
    mariadb.run(ACCOUNTS)
    mariadb.run(TABLE)
    return mariadb


@pytest.fixture(params=WANTED.values(), ids=list(WANTED))
def talk(server: MariaDbServer, request: pytest.FixtureRequest) -> Iterator[Talk]:
    talk = local(server.socket, wanted=request.param)
    try:
        assert isinstance(talk.ask(m.InitDb("codec"))[0], Done)
        yield talk
    finally:
        talk.close()


@pytest.mark.parametrize("user", ["native", "edward"])
def test_a_password_is_proved_by_the_accounts_method(server: MariaDbServer, user: str) -> None:
    talk = local(server.socket, user, "correct horse")
    assert cells(talk.ask(m.Query("SELECT SUBSTRING_INDEX(USER(), '@', 1)"))) == [[user.encode()]]
    assert not talk.login.capabilities & ~(c.OFFERED | c.SSL)
    talk.close()


@pytest.mark.parametrize("user", ["native", "edward"])
def test_a_wrong_password_is_refused_in_the_servers_words(server: MariaDbServer, user: str) -> None:
    with pytest.raises(LoginRefused, match="1045 28000"):
        local(server.socket, user, "wrong")


def test_a_method_that_is_not_configured_is_refused(server: MariaDbServer) -> None:
    login = Login(
        "edward", "correct horse", channel=Channel.LOCAL, methods=("mysql_native_password",)
    )
    with pytest.raises(LoginRefused, match="client_ed25519"):
        connected(server.socket, login)


def test_a_server_without_tls_is_left(server: MariaDbServer) -> None:
    with pytest.raises(LoginRefused, match="TLS"):
        connected(server.socket, Login("native", "correct horse"))


@pytest.mark.parametrize("wanted", WANTED.values(), ids=list(WANTED))
def test_both_formats_have_the_same_values_and_every_type_is_written_back(
    server: MariaDbServer, wanted: int
) -> None:
    talk = local(server.socket, wanted=wanted)
    for text in ("SELECT * FROM codec.every ORDER BY id", "SELECT NULL, 1.5, 'x' FROM codec.every"):
        by_text = talk.ask(m.Query(text))
        statement = talk.prepare(text)
        by_number = talk.ask(m.StmtExecute(statement.number))
        assert columns_of(by_text).codec == "mysql"
        assert columns_of(by_number).codec.startswith("mysql:")
        for events in (by_text, by_number):
            codec, width = row_codec(columns_of(events).codec), len(columns_of(events).columns)
            assert codec is not None
            for run in (event for event in events if isinstance(event, Rows)):
                assert without_numbers(codec.encode(codec.decode(run.frames))) == without_numbers(
                    run.frames
                )
                cut = codec.cut(run.frames, width, range(width))
                assert codec.splice(cut, range(run.count)) == run.frames
        nulls = [[cell is None for cell in row] for row in cells(by_text)]
        assert nulls == [[cell is None for cell in row] for row in cells(by_number)]
    talk.close()


def without_numbers(frames: bytes) -> bytes:
    bare, position = bytearray(frames), 0
    while position < len(bare):
        bare[position + 3] = 0
        position += 4 + int.from_bytes(bare[position : position + 3], "little")
    return bytes(bare)


def test_a_columns_origin_is_told_by_names(talk: Talk) -> None:
    events = talk.ask(m.Query("SELECT e.vc AS said, 1 + 1 AS sum FROM every AS e"))
    said, computed = columns_of(events).columns
    assert said.origin is not None
    assert computed.origin is not None
    assert (said.name, said.type, said.size) == ("said", t.VAR_STRING, 1200)
    origin = said.origin
    assert (origin.schema, origin.table, origin.org_table) == ("codec", "e", "every")
    assert (origin.org_name, origin.charset) == ("vc", 45)
    assert (computed.origin.schema, computed.origin.org_table, computed.origin.org_name) == (
        *("", "", ""),
    )


def test_a_long_result_comes_in_chunks_and_ends_with_its_count(talk: Talk) -> None:
    events = talk.ask(m.Query("SELECT n, REPEAT('z', 200) FROM many"))
    runs = [event for event in events if isinstance(event, Rows)]
    assert len(runs) > 5
    assert all(len(run.frames) < 66_000 for run in runs)
    assert sum(run.count for run in runs) == 3000
    end = events[-1]
    assert isinstance(end, Done)
    assert (end.tag, end.rows, end.more) == ("ROWS 3000", 3000, False)


def test_a_change_tells_what_it_has_done(talk: Talk) -> None:
    (done,) = talk.ask(m.Query("INSERT INTO many (word) VALUES ('a'), ('b')"))
    assert isinstance(done, Done)
    assert done.outcome is not None
    assert done.tag == "OK 2"
    assert done.outcome.affected == 2
    assert done.outcome.insert_id > 3000
    assert b"Records: 2" in done.outcome.info
    (done,) = talk.ask(m.Query("DELETE FROM many WHERE n > 3000"))
    assert isinstance(done, Done)
    assert done.tag.startswith("OK ")


def test_an_error_has_its_number_and_state_and_the_connection_goes_on(talk: Talk) -> None:
    (failed,) = talk.ask(m.Query("SELECT nothing FROM nowhere"))
    assert isinstance(failed, Failed)
    assert (failed.sqlstate, failed.code) == ("42S02", 1146)
    assert cells(talk.ask(m.Query("SELECT 1"))) == [[b"1"]]


def test_an_error_among_rows_ends_the_result(talk: Talk) -> None:
    events = talk.ask(
        m.Query("SELECT n, IF(n = 2999, (SELECT 1 UNION SELECT 2), REPEAT('q', 99)) FROM many")
    )
    assert isinstance(events[0], Columns)
    assert isinstance(events[-1], Failed)
    assert events[-1].code == 1242
    assert isinstance(talk.ask(m.Ping())[0], Done)


def test_every_result_of_a_procedure_has_its_columns_and_its_end(talk: Talk) -> None:
    talk.ask(m.Query("CREATE OR REPLACE PROCEDURE three() BEGIN SELECT 1; SELECT 'a', 'b'; END"))
    for command in (m.Query("CALL three()"), m.StmtExecute(talk.prepare("CALL three()").number)):
        events = talk.ask(command)
        kinds = [type(event) for event in events]
        assert kinds == [Columns, Rows, Done, Columns, Rows, Done, Done]
        ends = [e.outcome for e in events if isinstance(e, Done) and e.outcome is not None]
        assert [bool(end.status & c.MORE_RESULTS) for end in ends] == [True, True, False]


def test_parameters_are_written_as_the_server_reads_them(talk: Talk) -> None:
    statement = talk.prepare("SELECT ?, ?, ?, ?, CAST(? AS DATE), ?")
    assert statement.parameters == 6
    parameters = (
        Parameter(Kind(t.LONGLONG), (-7).to_bytes(8, "little", signed=True)),
        Parameter(Kind(t.VAR_STRING), "ä".encode()),
        Parameter(Kind(t.NULL), None),
        Parameter(Kind(t.VAR_STRING), None),
        Parameter(Kind(t.DATE), b"\xe8\x07\x02\x1d"),
        Parameter(Kind(t.BLOB), b"long" * 3, long=True),
    )
    for piece in (b"longlo", b"nglong"):
        assert talk.ask(m.StmtSendLongData(statement.number, 5, piece)) == []
    execute = m.StmtExecute(statement.number)
    events = talk.ask(written(execute, parameters, talk.login.capabilities))
    ((number, word, none, nothing, day, long),) = cells(events)
    assert number == (-7).to_bytes(8, "little", signed=True)
    assert (word, none, nothing, long) == ("ä".encode(), None, None, b"longlonglong")
    assert day == b"\xe8\x07\x02\x1d"


def test_a_cursors_rows_are_fetched_in_parts(talk: Talk) -> None:
    statement = talk.prepare("SELECT n FROM many WHERE n <= 25 ORDER BY n")
    opened = talk.ask(m.StmtExecute(statement.number, m.CURSOR_READ_ONLY))
    assert [type(event) for event in opened] == [Columns, Done]
    end = opened[-1]
    assert isinstance(end, Done)
    assert end.more
    fetched, ends = [], []
    while not ends or ends[-1]:
        events = talk.ask(m.StmtFetch(statement.number, 10))
        assert isinstance(events[0], Columns)
        fetched += cells(events)
        end = events[-1]
        assert isinstance(end, Done)
        ends.append(end.more)
    assert [int.from_bytes(row[0] or b"", "little") for row in fetched] == list(range(1, 26))


def test_a_statement_that_was_closed_is_unknown_to_both(talk: Talk) -> None:
    statement = talk.prepare("SELECT 1")
    assert talk.ask(m.StmtClose(statement.number)) == []
    assert talk.conversation.statements.get(statement.number) is None
    (failed,) = talk.ask(m.StmtExecute(statement.number))
    assert isinstance(failed, Failed)
    assert failed.code == 1243


def test_a_reset_connection_has_forgotten_its_statements(talk: Talk) -> None:
    statement = talk.prepare("SELECT 1")
    assert isinstance(talk.ask(m.StmtReset(statement.number))[0], Done)
    assert isinstance(talk.ask(m.ResetConnection())[0], Done)
    assert talk.conversation.statements.get(statement.number) is None
    assert isinstance(talk.ask(m.StmtExecute(statement.number))[0], Failed)


def test_the_small_commands_are_answered(talk: Talk) -> None:
    assert isinstance(talk.ask(m.SetOption(1))[0], Done)
    (said,) = talk.ask(m.Statistics())
    assert isinstance(said, Native)
    assert said.message[4:].startswith(b"Uptime")
    (fields,) = talk.ask(m.FieldList("many", "w%"))
    assert isinstance(fields, Native)
    assert b"word" in fields.message
    (failed,) = talk.ask(m.FieldList("nowhere"))
    assert isinstance(failed, Failed)
    (failed,) = talk.ask(m.ProcessKill(99_999_999))
    assert isinstance(failed, Failed)
    assert talk.conversation.idle


def test_commands_that_were_sent_together_are_answered_in_order(talk: Talk) -> None:
    events = talk.ask(m.Query("SELECT 1"), m.Query("SELECT nothing"), m.Ping(), m.Query("SELECT 2"))
    kinds = [type(event) for event in events]
    assert kinds == [Columns, Rows, Done, Failed, Done, Columns, Rows, Done]


def test_what_changes_in_the_session_is_told(server: MariaDbServer) -> None:
    talk = local(server.socket)
    (done,) = talk.ask(m.Query("USE codec"))
    assert talk.conversation.database == "codec"
    assert isinstance(done, Done)
    talk.ask(m.Query("SET autocommit = 0"))
    assert talk.conversation.parameters["autocommit"] == "OFF"
    talk.ask(m.Query("BEGIN"))
    assert talk.conversation.in_transaction
    talk.close()


def test_packets_over_16_mb_pass_both_ways(server: MariaDbServer) -> None:
    server.run("SET GLOBAL max_allowed_packet = 67108864")
    talk = local(server.socket)
    for size in (0xFFFFFF - 17, 0xFFFFFF - 16, 0xFFFFFF, 20_000_000):
        events = talk.ask(m.Query(f"SELECT '{'x' * size}'"))
        (rows,) = (event for event in events if isinstance(event, Rows))
        codec = row_codec(rows.codec)
        assert codec is not None
        assert codec.decode(rows.frames) == [[b"x" * size]]
        cut = codec.cut(rows.frames, 1, [0])
        cut.columns[0][0] = b"masked"
        assert codec.decode(codec.splice(cut, [0])) == [[b"masked"]]
        assert isinstance(talk.ask(m.Ping())[0], Done)
    talk.close()
