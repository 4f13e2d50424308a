"""The exceptions that callers see, one for each answer to "who must act?"."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request was refused, in words for the person or model that asked.

    `code` is stable; `policy` is the `@id` of the policy, or "built-in" where no policy decided;
    `subject` names what exactly was refused; `span` is its byte range in the statement.
    """

    code: str
    reason: str
    next_step: str
    policy: str = "built-in"
    subject: str = ""
    span: tuple[int, int] | None = None


class Denied(Exception):
    """The gate refused; the requester must change the request or ask somebody."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(f"{refusal.code}: {refusal.reason}")
        self.refusal = refusal


class Unauthenticated(Exception):
    """The credential does not prove who asks; the text says nothing that helps an attacker."""


class ProtocolError(Exception):
    """The peer sent bytes that its protocol does not allow; the connection ends."""


class BackendUnavailable(Exception):
    """The target, or a part of the gateway that a request needs, can't be reached now.

    The text names the target and never a host, a user or a credential.
    """


class ConfigError(Exception):
    """The configuration is wrong; the text names file and line, and what to write instead."""
