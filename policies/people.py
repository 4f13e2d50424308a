"""Who is one person: principals of several issuers, and accounts with one verified address."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from policies.model import Principal


@dataclass(frozen=True, slots=True)
class Person:
    """What tells people apart: the principal's id, and the verified e-mail address, or ""."""

    id: str
    email: str

    @classmethod
    def of(cls, principal: Principal) -> Person:
        """Whoever presents this principal's token."""
        return cls(principal.id, address(principal.email))

    def may_be(self, other: Person) -> bool:
        """Whether both may be one person: they are, or nothing proves that they are two.

        Accounts of one issuer are two people unless they share an address. Accounts of two issuers
        are two people only if both have a verified address, and another one.
        """
        if self.id == other.id:
            return True
        if self.email and other.email:
            return self.email == other.email
        return _issuer(self.id) != _issuer(other.id)


def distinct(people: Iterable[Person], *, but: Person) -> Sequence[Person]:
    """Those who are certainly different people, and none of them `but`; who came first counts."""
    counted = [but]
    for person in people:
        if not any(person.may_be(known) for known in counted):
            counted.append(person)
    return counted[1:]


def address(email: str | None) -> str:
    """The mailbox, in one form: case and a `+tag` make no other person."""
    plain = unicodedata.normalize("NFKC", email or "").strip().casefold()
    local, _, domain = plain.rpartition("@")
    return f"{local.partition('+')[0]}@{domain}" if local and domain else ""


def _issuer(identifier: str) -> str:
    return identifier.partition(":")[0]
