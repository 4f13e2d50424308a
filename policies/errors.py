"""The exceptions that callers see, one for each answer to "who must act?"."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """Where a span stands in a statement, in characters from 1, and its line with marks below.

    `offset` counts from the statement's beginning, as PostgreSQL's error position does.
    """

    line: int
    column: int
    offset: int
    excerpt: str

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request was refused, in words for the person or model that asked.

    `code` is stable; `policy` is the `@id` of the policy, or "built-in" where no policy decided;
    `subject` names what exactly was refused; `span` is its byte range in the statement, and `place`
    the same for readers. `would_pass` are changes with which policy was asked, and permits it.
    """

    code: str
    reason: str
    next_step: str
    policy: str = "built-in"
    subject: str = ""
    span: tuple[int, int] | None = None
    place: Place | None = None
    would_pass: tuple[str, ...] = ()

    @property
    def advice(self) -> str:
        """The next step, and what would pass, in one text."""
        if not self.would_pass:
            return self.next_step
        changes = "; or ".join(self.would_pass)
        return f"{self.next_step} Policy would let it pass, if you: {changes}."


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
