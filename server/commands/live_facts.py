"""Targets and facts as a running gateway has them, over its API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import orjson

from policies.errors import ConfigError, ProtocolError
from policies.model import Target
from policies.recorded import facts_of
from policies.sql.facts import SqlFacts
from server.commands.gateway_client import GatewayClient


@dataclass(frozen=True, slots=True)
class LiveFacts:
    """Those of the targets that the user of the command line may connect to."""

    client: GatewayClient
    targets: Mapping[str, Target]

    @classmethod
    def of(cls, client: GatewayClient) -> Self:
        """Asks the gateway for its targets."""
        answer: Any = client.get("policy", "targets")["targets"]
        return cls(client, described(answer))

    def target(self, name: str) -> Target:
        """Raises ConfigError."""
        if name not in self.targets:
            known = ", ".join(sorted(self.targets)) or "none"
            raise ConfigError(f"the gateway has no target {name!r} for you; there are: {known}")
        return self.targets[name]

    def facts(self, target: str, sql: str) -> SqlFacts:
        """What the gateway's policies would see of a statement now."""
        body: dict[str, Any] = {"target": target, "statements": [{"id": 0, "sql": sql}]}
        lines = list(self.client.post_lines("facts", body=body))
        if len(lines) != 1:
            raise ProtocolError("the gateway answered one statement with something else")
        return facts_of(orjson.loads(lines[0])["facts"])


def described(targets: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Target]:
    """Targets as the API describes them."""
    return {
        name: Target(name, said["kind"], said["environment"], frozenset(said["groups"]))
        for name, said in targets.items()
    }
