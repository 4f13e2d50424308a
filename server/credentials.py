"""The targets' credentials: held by reference, and read only with a grant in hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from policies.errors import BackendUnavailable, ConfigError

if TYPE_CHECKING:
    from server.gate import Grant

Role = Literal["reader", "writer"]


class SecretReference(Protocol):
    def resolve(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Login:
    """A role on a target and where its password is kept."""

    user: str
    password: SecretReference | None


@dataclass(frozen=True, slots=True)
class Credentials:
    """The logins of one target."""

    target: str
    logins: Mapping[Role, Login]

    def read(self, grant: Grant, role: Role) -> tuple[str, str]:
        """The user and password for a granted action on this target.

        Raises `BackendUnavailable` where the reference leads to nothing, without naming it.
        """
        target = grant.request.target
        if target is None or target.name != self.target:
            raise PermissionError("a grant for another target reads no credential")
        login = self.logins.get(role)
        if login is None:
            raise BackendUnavailable(f"target {self.target} has no {role} login configured")
        try:
            return login.user, login.password.resolve() if login.password else ""
        except ConfigError as error:
            message = f"the {role} credential of target {self.target} can't be read"
            raise BackendUnavailable(message) from error

    def user(self, role: Role) -> str:
        """The role's name, which is no secret: approvals are bound to it."""
        login = self.logins.get(role)
        return login.user if login else ""
