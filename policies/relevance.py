"""Which policies can have a say on an action: Cedar is asked with those, and not with all.

Only what a policy's scope says of the action counts, as Cedar itself reads it: whatever is not
understood here has a say.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

import cedarpy

Document = Mapping[str, Any]
Uid = Mapping[str, str]


class Actions:
    """The actions of a schema, and what groups they are in, at any depth."""

    def __init__(self, schema: cedarpy.Schema) -> None:
        # Cedar puts a schema's actions among the entities that it reads with it.
        found = json.loads(str(cedarpy.Entities.from_json_str("[]", schema)))
        parents = {entity["uid"]["id"]: entity["parents"] for entity in found}
        self._groups: Final = {action: frozenset(_above(action, parents)) for action in parents}

    def has_say(self, policy: Document, action: str) -> bool:
        """Whether the scope of a policy lets it apply to an action."""
        groups = self._groups.get(action)
        match policy["action"]:
            case {"op": "==", "entity": {"type": "Action", "id": str(named)}}:
                return named == action
            case {"op": "in", "entity": {"type": "Action", "id": str(named)}} if groups is not None:
                return named in groups
            case {"op": "in", "entities": [*entities]} if groups is not None:
                return any(_may_be_in(entity, groups) for entity in entities)
            case _:
                return True


def _above(action: str, parents: Mapping[str, Iterable[Uid]]) -> set[str]:
    """The action and its groups."""
    found = {action}
    for parent in parents.get(action, ()):
        found |= _above(parent["id"], parents)
    return found


def _may_be_in(entity: object, groups: frozenset[str]) -> bool:
    match entity:
        case {"type": "Action", "id": str(named)}:
            return named in groups
        case _:
            return True
