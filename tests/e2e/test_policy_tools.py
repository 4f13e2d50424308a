"""The tools of the people who write policy, against a running gateway with a live catalog."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import yaml

from server.cli import main
from server.identity.demo import RITA, VICTOR, Account
from tests.e2e.policy_sets import rewrite, starter_copy
from tests.e2e.test_main_job import run_sql
from tests.e2e.world import World

pytestmark = [pytest.mark.anyio, pytest.mark.gateways]

FIELDS = ["id", "effect", "reads", "writes", "columns", "functions", "has_where", "reason"]
WHOLE = "UPDATE orders SET total = 0"
AUDITED = """
@id("watch-reads-of-people")
@mode("audit")
@reason("Reading people would need a DBA.")
@approve("dba")
forbid (principal, action == Action::"sql.select", resource == Table::"shop/public/customers");

@id("watch-orders")
@mode("audit")
forbid (principal, action == Action::"sql.select", resource == Table::"shop/public/orders");
"""


@pytest.fixture(scope="module")
def world(module_worlds: Callable[..., World]) -> World:
    made = module_worlds()
    policies = starter_copy(made.directory / "policies")
    (policies / "audited.cedar").write_text(AUDITED)
    made.settings = {"policies": str(policies)}
    nobody = Account("norah", (), "somebody with a token and no group")
    made.provider.provider.accounts = {each.name: each for each in (RITA, VICTOR, nobody)}
    made.start()
    return made


@dataclass(frozen=True, slots=True)
class Done:
    code: int
    out: str
    err: str

    @property
    def answers(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


Typed = Callable[..., Done]


@pytest.fixture
def typed(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Typed:
    """`ostiary` as somebody types it, with lines on standard input; the gateway is elsewhere."""

    def run(account: str, *arguments: str, lines: str = "") -> Done:
        for name, value in world.as_user(account).items():
            monkeypatch.setenv(name, value)
        (tmp_path / "lines").write_text(lines)
        out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.StringIO()
        with (tmp_path / "lines").open() as given, redirect_stdout(out), redirect_stderr(err):
            monkeypatch.setattr("sys.stdin", given)
            code = main(arguments)
        out.seek(0)
        return Done(code, out.read(), err.getvalue())

    return run


def written(*statements: str) -> str:
    """Statements as lines of JSON, numbered from 0."""
    return "".join(json.dumps({"id": n, "sql": s}) + "\n" for n, s in enumerate(statements))


async def recorded(world: World, kind: str, part: str) -> list[dict[str, Any]]:
    query = "SELECT document FROM records WHERE kind = $1 AND document LIKE $2 ORDER BY at"
    async with world.journal() as journal:
        return [json.loads(r[0]) for r in await journal.fetch(query, kind, f"%{part}%")]


async def test_facts_are_what_policy_sees_a_line_in_and_a_line_out(
    world: World, typed: Typed
) -> None:
    statements = [
        {"id": "a", "sql": "SELECT name FROM customers WHERE lower(email) = 'x'", "more": 1},
        {"id": 2, "sql": WHOLE},
        {"id": 3, "sql": "BEGIN"},
        {"id": 4, "sql": "DROP TABLE orders"},
        {"id": 5, "sql": "SELECT FROM nowhere"},
    ]
    lines = "".join(json.dumps(each) + "\n" for each in statements)
    done = typed("rita", "facts", "--target", "shop", lines=lines)
    assert (done.code, done.err) == (0, "")
    answers = done.answers
    assert [list(answer) for answer in answers] == [FIELDS] * 5
    assert answers[0] == {
        "id": "a",
        "effect": "read",
        "reads": ["public.customers"],
        "writes": [],
        "columns": ["public.customers.email", "public.customers.name"],
        "functions": ["pg_catalog.lower"],
        "has_where": True,
        "reason": None,
    }
    assert [answer["effect"] for answer in answers] == ["read", "write", "session", "ddl", "opaque"]
    assert (answers[1]["writes"], answers[1]["has_where"]) == (["public.orders"], False)
    assert "nowhere" in answers[4]["reason"]
    asked = await recorded(world, "intent", '"kind":"ExplainPolicy"')
    assert len(asked) >= 5


async def test_a_line_that_is_no_statement_is_answered_as_an_error_in_its_place(
    typed: Typed,
) -> None:
    lines = '{"id": 1, "sql": "SELECT 1"}\nnot json\n{"id": 3}\n\n{"sql": "SELECT 2"}\n'
    done = typed("rita", "facts", "--target", "shop", lines=lines)
    answers = done.answers
    assert done.code == 1
    assert [answer["id"] for answer in answers] == [1, 2, 3, 5]
    assert [answer["effect"] for answer in answers] == ["read", "opaque", "opaque", "read"]
    assert [answer.get("error") for answer in answers] == [
        None,
        "line 2 is not JSON",
        "line 3 has no `sql`",
        None,
    ]


async def test_a_whole_corpus_is_answered_in_its_order(typed: Typed) -> None:
    statements = [f"SELECT {n}" for n in range(200)]
    statements[70], statements[90] = f"SELECT '{'x' * 1_000_000}'", "SELECT '\0'"
    done = typed("rita", "facts", "--target", "shop", lines=written(*statements))
    assert done.code == 0
    assert [answer["id"] for answer in done.answers] == list(range(200))
    assert {a["id"] for a in done.answers if a["effect"] == "opaque"} == {70, 90}


async def test_a_target_that_is_not_yours_answers_like_one_that_is_not_there(typed: Typed) -> None:
    for account, target in (("norah", "shop"), ("rita", "nothing")):
        done = typed(account, "facts", "--target", target, lines=written("SELECT 1"))
        assert (done.code, done.out) == (1, "")
        assert "TARGET_UNKNOWN" in done.err


async def test_a_snapshot_judges_as_the_live_catalog_does(typed: Typed, tmp_path: Path) -> None:
    snapshot = typed("victor", "facts", "--target", "shop", "--snapshot")
    assert snapshot.code == 0
    (tmp_path / "shop.json").write_text(snapshot.out)
    lines = written(
        "SELECT mail FROM contacts", "SELECT ssn FROM customers", WHOLE, "SELECT ssn(c)"
    )
    live = typed("rita", "facts", "--target", "shop", "--full", lines=lines)
    file = str(tmp_path / "shop.json")
    assert live == typed("rita", "facts", "--catalog", file, "--full", lines=lines)
    assert live.answers[0]["facts"]["labels_read"] == ["pii"]


async def test_a_catalog_is_for_those_who_explain_for_others(typed: Typed) -> None:
    refused = typed("rita", "facts", "--target", "shop", "--snapshot")
    assert (refused.code, refused.out) == (1, "")
    assert "NOT_PERMITTED" in refused.err


async def test_explain_says_every_question_with_its_policies_and_what_is_owed(
    world: World, typed: Typed
) -> None:
    sql = "UPDATE orders SET total = 0 WHERE id = 1"
    done = typed("rita", "policy", "explain", "--target", "shop", sql)
    assert done.code == 0, done.err
    assert 'yes sql.update on Table::"shop/public/orders"' in done.out
    assert "changes-need-approval (gates.cedar:" in done.out
    assert "must be approved by 1 of dba" in done.out
    assert "Changes outside development are approved by a DBA." in done.out
    assert str(world.directory) not in done.out


async def test_explain_marks_what_was_refused(typed: Typed) -> None:
    done = typed("rita", "policy", "explain", "--target", "shop", "SELECT 1,\n  nope(2)")
    assert done.code == 1
    marked = done.out.splitlines()
    at = marked.index("     nope(2)")
    assert marked[at + 1].startswith("     ^")
    assert "next: " in done.out


async def test_explain_as_json_has_all_of_it(typed: Typed) -> None:
    done = typed("rita", "policy", "explain", "--json", "--target", "shop", WHOLE)
    answer = json.loads(done.out)
    assert done.code == 1
    assert answer["refusal"]["policy"] == "no-whole-table-changes"
    assert answer["refusal"]["location"].startswith("forbids.cedar:")
    assert [question["allowed"] for question in answer["questions"]] == [True, False]
    assert answer["facts"]["has_where"] is False


async def test_explain_asks_for_another_person_agent_and_door(typed: Typed) -> None:
    who = ("--as", "rolf", "--group", "analysts", "--agent", "cursor", "--channel", "postgres")
    done = typed("victor", "policy", "explain", "--json", *who, "--target", "shop", "SELECT 1")
    answer = json.loads(done.out)
    assert (answer["principal"], answer["agent"], answer["effect"]) == ("rolf", "cursor", "permit")
    own = typed(
        "rita", *("policy", "explain"), "--as", "rita", "--agent", "x", "--target", "shop", "x"
    )
    assert "another principal than yourself" in own.err


async def test_what_is_audited_runs_and_is_recorded_and_explained(
    world: World, typed: Typed
) -> None:
    async with world.mcp("rita") as client:
        for table in ("customers", "orders"):
            assert not (await run_sql(client, f"SELECT count(*) FROM {table}")).is_error
    people, orders = await recorded(world, "intent", '"audits"')
    assert [(a["policy"], a["would"]) for a in people["audits"]] == [
        ("watch-reads-of-people", "oblige")
    ]
    assert people["audits"][0]["obligations"][0]["groups"] == ["dba"]
    assert [(a["policy"], a["would"]) for a in orders["audits"]] == [("watch-orders", "refuse")]
    done = typed("rita", "policy", "explain", "--target", "shop", "SELECT name FROM customers")
    assert done.code == 0
    assert "audit mode: watch-reads-of-people (audited.cedar:2)" in done.out
    assert "would have asked: be approved by 1 of dba" in done.out


async def test_cases_run_with_the_live_catalog(world: World, typed: Typed, tmp_path: Path) -> None:
    who = {"user": "ann", "groups": ["analysts"]}
    case = {"name": "masked", "who": who, "target": "shop", "sql": "SELECT mail FROM contacts"}
    cases = [{**case, "expect": {"decision": "allow", "masked": ["pii"]}}]
    file = tmp_path / "cases.yaml"
    file.write_text(yaml.safe_dump({"cases": cases}))
    at = ("--gateway", world.url, "--policies", "starter")
    done = typed("rita", "policy", "test", str(file), *at)
    assert (done.code, done.out) == (0, "good: 1 cases\n"), done.err


async def test_recorded_requests_are_decided_by_other_policies_too(
    world: World, typed: Typed, tmp_path: Path
) -> None:
    async with world.mcp("rita") as client:
        await run_sql(client, "SELECT name FROM customers WHERE id = 1")
        await run_sql(client, "SELECT count(*) FROM orders WHERE id = 1")
        await run_sql(client, WHOLE)
    stricter = starter_copy(tmp_path / "stricter")
    (stricter / "more.cedar").write_text(AUDITED.replace('@mode("audit")\n', ""))
    compared = ("policy", "diff", str(stricter), "--base", "starter", "--json")
    done = typed("victor", *compared, "--last", "1000")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert found["decided"] > found["changed"] >= 2
    assert set(found["counts"]) == {"allow -> approve", "allow -> deny", "approval added: 1 of dba"}
    (denied,) = (e for e in found["examples"]["allow -> deny"] if "id = 1" in e["statement"])
    assert denied["after"] == {"decision": "deny", "by": ["watch-orders"]}
    assert typed("rita", *compared).code == 1


async def test_an_export_is_compared_without_a_gateway(
    world: World, typed: Typed, tmp_path: Path
) -> None:
    connection = await asyncpg.connect(
        host="127.0.0.1",
        port=world.listener,
        user="rita",
        database="shop",
        password=world.token("rita"),
        ssl=False,
    )
    await connection.fetch("SELECT name FROM customers")
    await connection.close()
    listed = typed("victor", "sessions", "list").out
    session = next(line for line in listed.splitlines() if "postgres" in line).split()[0]
    export = tmp_path / "session.ndjson"
    export.write_text(typed("victor", "sessions", "export", session).out)
    looser = starter_copy(tmp_path / "looser")
    rewrite(looser / "gates.cedar", '@row_limit("1000")\nforbid', '@row_limit("5000")\nforbid')
    compared = ("policy", "diff", str(looser), "--config", str(world.file))
    done = typed("norah", *compared, "--replay", str(export))
    assert done.code == 0, done.err
    assert "row limit: 1000 -> 5000" in done.out
    assert "SELECT name FROM customers" in done.out
