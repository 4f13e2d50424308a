"""Self-confirmation: a form in the requester's own client, where policy says that is enough."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx2
import mcp.types as t
import pytest

from tests.e2e.policy_sets import with_self_confirmation
from tests.e2e.test_endings import call_body
from tests.e2e.test_main_job import MODES, refusal, run_sql, words
from tests.e2e.world import World

pytestmark = pytest.mark.anyio

CHANGED = "SELECT count(*) FROM orders WHERE status = $1"


@pytest.fixture(scope="module")
def world(module_worlds: Callable[..., World]) -> World:
    """UPDATEs are confirmed by the requester, INSERTs are approved by a DBA."""
    made = module_worlds(approvals={"expire_after": "15m", "hold": "200ms"})
    policies = with_self_confirmation(made.directory / "policies")
    made.settings = {**made.settings, "policies": str(policies)}
    made.start()
    return made


class Form:
    """The user's side of a form: answers each the same way, and keeps what was shown."""

    def __init__(self, action: Any, **content: str) -> None:
        self.shown: list[str] = []
        self.asked: list[Any] = []
        self._answer = t.ElicitResult(action=action, content=dict(content) or None)

    async def __call__(self, _context: object, params: Any) -> t.ElicitResult:
        self.shown.append(params.message)
        self.asked.append(params)
        return self._answer


@MODES
async def test_a_confirmed_update_runs_once_and_the_same_call_asks_again(
    world: World, mode: str
) -> None:
    sql = f"UPDATE orders SET status = 'confirmed-{mode}' WHERE id = 11 RETURNING id"
    form = Form("accept", comment="yes, mine")
    async with (
        world.direct() as direct,
        world.mcp("rita", mode=mode, elicitation_callback=form) as client,
    ):
        result = await run_sql(client, sql)
        assert not result.is_error, words(result)
        assert result.structured_content is not None
        assert result.structured_content["rows"] == [[11]]
        assert await direct.fetchval(CHANGED, f"confirmed-{mode}") == 1
        await run_sql(client, sql)
    assert len(form.shown) == 2
    assert all(sql in shown for shown in form.shown)


@MODES
@pytest.mark.parametrize("answer", ["decline", "cancel"])
async def test_an_update_that_is_not_confirmed_does_not_run(
    world: World, mode: str, answer: str
) -> None:
    status = f"{answer}-{mode}"
    form = Form(answer)
    async with (
        world.direct() as direct,
        world.mcp("rita", mode=mode, elicitation_callback=form) as client,
    ):
        said = refusal(
            await run_sql(client, f"UPDATE orders SET status = '{status}' WHERE id = 12")
        )
        assert await direct.fetchval(CHANGED, status) == 0
    assert len(form.shown) == 1
    assert said["next_step"]
    assert said.get("code") == {"decline": "APPROVAL_DENIED", "cancel": "APPROVAL_PENDING"}[answer]


@MODES
async def test_a_client_without_forms_gets_a_ticket_instead(world: World, mode: str) -> None:
    async with world.direct() as direct, world.mcp("rita", mode=mode) as client:
        said = refusal(
            await run_sql(client, f"UPDATE orders SET status = 'bare-{mode}' WHERE id = 13")
        )
        assert await direct.fetchval(CHANGED, f"bare-{mode}") == 0
    assert said["status"] == "pending_approval"


@MODES
async def test_no_form_is_shown_for_what_a_dba_must_approve(world: World, mode: str) -> None:
    number = 9001 if mode == "auto" else 9002
    form = Form("accept", decision="approve")
    async with (
        world.direct() as direct,
        world.mcp("rita", mode=mode, elicitation_callback=form) as client,
    ):
        said = refusal(await run_sql(client, insert(number)))
        assert await direct.fetchval("SELECT count(*) FROM orders WHERE id = $1", number) == 0
    assert said["status"] == "pending_approval"
    assert [params.mode for params in form.asked] == ["url"]  # to be told is all the requester is


@MODES
async def test_a_page_that_was_opened_has_approved_nothing(world: World, mode: str) -> None:
    """The client says "accept" to the page of what a DBA must approve, in either era."""
    number = 9004 if mode == "auto" else 9005
    form = Form("accept", decision="approve", comment="ok")
    async with (
        world.direct() as direct,
        world.mcp("rita", mode=mode, elicitation_callback=form) as client,
        world.journal() as journal,
    ):
        said = refusal(await run_sql(client, insert(number)))
        assert await direct.fetchval("SELECT count(*) FROM orders WHERE id = $1", number) == 0
        ticket = said["approval_id"]
        assert form.asked[0].url == f"{world.url}/approvals/{ticket}"
        decided = "SELECT count(*) FROM ticket_decisions WHERE ticket = $1"
        assert await journal.fetchval(decided, ticket) == 0
        assert world.cli("victor", "approvals", "approve", ticket).returncode == 0
        done = await run_sql(client, insert(number))
        assert not done.is_error, words(done)


@MODES
async def test_a_page_that_was_declined_has_denied_nothing(world: World, mode: str) -> None:
    number = 9006 if mode == "auto" else 9007
    form = Form("decline")
    async with world.mcp("rita", mode=mode, elicitation_callback=form) as client:
        said = refusal(await run_sql(client, insert(number)))
    assert said["status"] == "pending_approval"
    assert f"{world.url}/approvals/{said['approval_id']}" in json.dumps(said)


def insert(number: int) -> str:
    return f"INSERT INTO orders (id, customer_id) VALUES ({number}, 1)"


async def post(
    world: World, account: str, sql: str, **answered: Any
) -> tuple[httpx2.Response, dict[str, Any]]:
    """A modern call by hand, of a client that declares forms; `answered` goes beside its name."""
    body, headers = call_body("modern", sql)
    capabilities: dict[str, Any] = {
        "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}}}
    }
    body["params"]["_meta"] |= capabilities
    body["params"] |= answered
    headers["Authorization"] = f"Bearer {world.token(account)}"
    async with httpx2.AsyncClient(timeout=30) as http:
        response = await http.post(f"{world.url}/mcp", json=body, headers=headers)
    *_, last = [line for line in response.text.splitlines() if "{" in line]
    document = json.loads(last.removeprefix("data:"))
    assert isinstance(document, dict)
    return response, document


def accepted(state: str) -> dict[str, Any]:
    """What an agent can make up by itself: an answer to a form, and a state."""
    answer = {"action": "accept", "content": {"decision": "approve", "comment": "ok"}}
    return {"inputResponses": {"answer": answer}, "requestState": state}


async def test_an_answer_to_one_form_lets_nothing_else_through(world: World) -> None:
    """The sealed state of a form for an UPDATE comes back with a call that needs a DBA."""
    update = "UPDATE orders SET status = 'replayed' WHERE id = 14"
    _, asked = await post(world, "rita", update)
    state = asked["result"]["requestState"]
    async with world.direct() as direct, world.journal() as journal:
        _, said = await post(world, "rita", insert(9003))
        ticket = json.loads(said["result"]["content"][0]["text"])["approval_id"]
        for forged in (state, ticket, state[:-4] + "AAAA", ""):
            await post(world, "rita", insert(9003), **accepted(forged))
        assert await direct.fetchval("SELECT count(*) FROM orders WHERE id = 9003") == 0
        left = await journal.fetchval("SELECT state FROM tickets WHERE id = $1", ticket)
    assert left == "pending"


async def test_somebody_elses_answer_to_a_form_counts_for_nothing(world: World) -> None:
    update = "UPDATE orders SET status = 'foreign' WHERE id = 15"
    _, asked = await post(world, "rita", update)
    state = asked["result"]["requestState"]
    async with world.direct() as direct:
        await post(world, "victor", update, **accepted(state))
        assert await direct.fetchval(CHANGED, "foreign") == 0
        await post(world, "rita", update, **accepted(state))
        assert await direct.fetchval(CHANGED, "foreign") == 1
        await direct.execute("UPDATE orders SET status = 'new' WHERE id = 15")
        await post(world, "rita", update, **accepted(state))
        assert await direct.fetchval(CHANGED, "foreign") == 0
