"""A gateway for the attacks on approvals: two identity providers, quorums, a second target."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import httpx2

from server.identity.demo import Account
from tests.attacks.attacker import PEOPLE, Attacker
from tests.e2e.policy_sets import rewrite, starter_copy
from tests.e2e.world import ProviderThread, World, place

GATES: Final = """
@id("customers-need-two")
@approve("dba, security")
@approvals("2")
@reason("Two people agree to changes of customers.")
forbid (principal, action in Action::"change", resource == Table::"shop/public/customers");

@id("confirm-on-the-twin")
@approve("self")
@reason("Changes of the twin are confirmed.")
forbid (principal, action in Action::"change", resource in Target::"twin");
"""


@dataclass(frozen=True)
class Known(Account):
    """An account whose address is what the test says; "" is none."""

    address: str = ""

    @property
    def email(self) -> str:
        return self.address


PARTNERS: Final = (
    Known("rita", ("dba",), "the requester, by another provider", "Rita+dba@Demo.Example"),
    Known("r2", ("dba",), "the requester again, without an address", ""),
    Known("victor", ("dba",), "the reviewer, by another provider", "VICTOR@demo.example"),
    Known("petra", ("dba",), "somebody else, by another provider", "petra@partner.example"),
)


@contextmanager
def arranged(made: World) -> Iterator[ProviderThread]:
    """Settings for a world that is not started yet; the second provider runs while open."""
    directory = made.directory / "partner"
    directory.mkdir()
    partner = ProviderThread(directory, f"{place(made.port, made.tls)}/mcp")
    partner.provider.accounts = {each.name: each for each in PARTNERS}
    partner.start()
    policies = starter_copy(made.directory / "policies")
    rewrite(
        policies / "gates.cedar",
        'action in Action::"change",\n  resource\n)\nunless { resource in Environment',
        'action in Action::"change",\n  resource\n)\nunless { resource in Target::"twin" ||'
        " resource in Environment",
    )
    (policies / "more.cedar").write_text(GATES)
    base = made.configuration()
    first = base["identity"]["issuers"][0]
    second = {**first, "name": "partner", "issuer": partner.provider.issuer}
    second.pop("console", None)
    shop = base["targets"]["shop"]
    made.settings = {
        "approvals": {"expire_after": "15m", "hold": "400ms", "native": "200ms"},
        "identity": {"issuers": [first, second]},
        "policies": str(policies),
        "targets": {"shop": shop, "twin": {**shop, "environment": "staging"}},
    }
    try:
        yield partner
    finally:
        partner.stop()


@dataclass(frozen=True, slots=True)
class Approving:
    """The attacker's hands, with those of people from the second provider."""

    attacker: Attacker
    partner: ProviderThread

    def people(self) -> None:
        """Everybody as they were, whatever a test has made of them."""
        self.attacker.world.provider.provider.accounts = {each.name: each for each in PEOPLE}

    def bearer(self, account: str, *, agent: str = "test-agent") -> dict[str, str]:
        """`partner:NAME` is somebody of the second provider."""
        issuer, _, name = account.rpartition(":")
        if issuer == "partner":
            token = self.partner.provider.token(name, seconds=600, agent=agent)
        else:
            token = self.attacker.world.token(account, agent=agent)
        return {"Authorization": f"Bearer {token}"}

    async def ask(self, sql: str, *, account: str = "rita", **arguments: Any) -> str:
        """The ticket that a call got."""
        said = await self.attacker.sql(sql, account=account, **arguments)
        assert said["code"] == "APPROVAL_PENDING", said
        return str(said["approval_id"])

    async def act(
        self, ticket: str, act: str, account: str, *, agent: str = "test-agent", **body: Any
    ) -> httpx2.Response:
        """`act`: decision, withdrawal or revocation."""
        return await self.attacker.api(
            "POST",
            f"/api/approvals/{ticket}/{act}",
            headers=self.bearer(account, agent=agent),
            json=body,
        )

    async def approve(self, ticket: str, account: str = "victor", **more: Any) -> httpx2.Response:
        return await self.act(ticket, "decision", account, approve=True, **more)

    async def state(self, ticket: str) -> str:
        return str(await self.attacker.stored("SELECT state FROM tickets WHERE id = $1", ticket))

    async def status(self, order: int) -> str:
        """What the order's status is, looked up behind the gateway's back."""
        return str(await self.attacker.direct(f"SELECT status FROM orders WHERE id = {order}"))


def code_of(answer: httpx2.Response) -> str:
    """The refusal's code, or OK."""
    document = answer.json()
    return str(document["error"]["code"]) if "error" in document else "OK"


def mark(order: int, status: str) -> str:
    """An UPDATE that leaves a mark."""
    return f"UPDATE orders SET status = '{status}' WHERE id = {order}"
