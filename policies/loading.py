"""Cedar files -> a checked policy set. Anything doubtful raises ConfigError: it must not run."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cedarpy

from policies.errors import ConfigError
from policies.gates import AnnotationError, Mode, Note, read_annotations
from policies.mentions import SCHEMA, about_anybody, is_unconditional, targets_named
from policies.policy_text import PolicyText, split_policies

_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
# Refusals that no policy decided carry this in place of a policy's id.
_RESERVED: Final = "built-in"


class PolicyError(ConfigError):
    """One policy is wrong; `place` is its `file:line`, `policy` its `@id` as far as it is seen."""

    def __init__(self, source: PolicyText, policy: str, problem: str) -> None:
        super().__init__(f"{source.place}: policy {policy or '(no @id)'}: {problem}")
        self.place, self.policy, self.problem = source.place, policy, problem


@dataclass(frozen=True, slots=True)
class Policy:
    """One policy: where it stands, what its annotations say, and its JSON form."""

    source: PolicyText
    note: Note
    document: Mapping[str, Any]

    @property
    def id(self) -> str:
        return self.note.id

    @property
    def enforced(self) -> bool:
        """Whether it decides; a policy in audit mode is only reported."""
        return self.note.mode is Mode.ENFORCE


@dataclass(frozen=True, slots=True)
class PolicySets:
    """The policies, of which the enforced ones decide; see `cedar.py` for how they are asked.

    `audited` decides nothing: forbids and gates in audit mode, or None where there are none.
    """

    schema: cedarpy.Schema
    policies: Mapping[str, Policy]
    version: str
    audited: cedarpy.PolicySet | None = None


def load_policy_sets(
    directory: Path,
    *,
    targets: Collection[str] | None,
    labels: Collection[str],
    groups: Collection[str] | None,
) -> PolicySets:
    """Every `*.cedar` file of a directory, checked. None: what is configured is not known here."""
    schema_text = SCHEMA.read_text(encoding="utf-8")
    schema = cedarpy.Schema.from_str(schema_text)
    files = list(read_files(directory))
    texts = [text for name, content in files for text in split_policies(name, content)]
    policies = _unique(read_policy(text, schema) for text in texts)
    _check_names(policies, targets=targets, groups=groups)
    _check_labels(policies, labels, directory)
    audited = {p.id: p.document for p in policies.values() if not p.enforced}
    version = _digest(schema_text, files)
    return PolicySets(schema, policies, version, policy_set(audited) if audited else None)


def read_files(directory: Path) -> Iterator[tuple[str, str]]:
    """Name and text of every policy file. Raises ConfigError."""
    paths = sorted(directory.glob("*.cedar"), key=lambda path: path.name)
    if not paths:
        raise ConfigError(f"{directory}: no *.cedar files; without policies nothing is permitted")
    for path in paths:
        try:
            yield str(path), path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: can't be read as UTF-8 text") from error


def read_policy(source: PolicyText, schema: cedarpy.Schema) -> Policy:
    """One policy, checked by itself. Raises PolicyError."""
    document = _parsed(source)
    annotations: Mapping[str, str] = document.get("annotations", {})
    identifier = annotations.get("id") or ""
    if not _IDENTIFIER.fullmatch(identifier) or identifier == _RESERVED:
        raise _wrong(
            source, identifier, "every policy needs an @id of letters, digits, '.', '_' and '-'"
        )
    _check_types(source, identifier, schema)
    if _is_unconditional_permit(document):
        raise _wrong(
            source, identifier, "permits everything to everybody; name a principal, or an action"
        )
    try:
        note = read_annotations(identifier, effect=document["effect"], annotations=annotations)
    except AnnotationError as error:
        raise _wrong(source, identifier, str(error)) from error
    return Policy(source, note, document)


def _parsed(source: PolicyText) -> Mapping[str, Any]:
    try:
        document = json.loads(cedarpy.policies_to_json_str(source.text))
    except ValueError as error:
        raise _wrong(source, source.written_id, f"does not parse: {error}") from error
    found: list[Mapping[str, Any]] = list(document["staticPolicies"].values())
    if len(found) != 1 or document["templates"]:
        raise _wrong(source, source.written_id, "templates (?principal, ?resource) are not used")
    return found[0]


def _check_types(source: PolicyText, identifier: str, schema: cedarpy.Schema) -> None:
    result = cedarpy.validate_policies(source.text, schema)
    if not result.validation_passed:
        problems = "; ".join(error.error for error in result.errors)
        raise _wrong(source, identifier, problems)


def _is_unconditional_permit(document: Mapping[str, Any]) -> bool:
    open_scope = all(document[part] == {"op": "All"} for part in ("action", "resource"))
    everybody = about_anybody(document) and open_scope
    return document["effect"] == "permit" and everybody and is_unconditional(document)


def _unique(policies: Iterable[Policy]) -> Mapping[str, Policy]:
    found: dict[str, Policy] = {}
    for policy in policies:
        if policy.id in found:
            raise same_id(policy, found[policy.id])
        found[policy.id] = policy
    return found


def same_id(policy: Policy, first: Policy) -> PolicyError:
    """Two policies of one id: which decided could not be told."""
    problem = f"has the @id of the policy at {first.source.place}"
    return _wrong(policy.source, policy.id, problem)


def _check_names(
    policies: Mapping[str, Policy],
    *,
    targets: Collection[str] | None,
    groups: Collection[str] | None,
) -> None:
    for policy in policies.values():
        for name, written in targets_named(policy.document):
            if targets is not None and name not in targets:
                raise _wrong(policy.source, policy.id, f"names {written}, which is none")
        unknown = sorted(policy.note.approver_groups - set(groups or policy.note.approver_groups))
        if unknown:
            raise _wrong(
                policy.source, policy.id, f"@approve names {unknown[0]}, which is no group"
            )


def _check_labels(policies: Mapping[str, Policy], labels: Collection[str], directory: Path) -> None:
    unmasked = unmasked_labels(policies.values(), labels)
    if unmasked:
        raise ConfigError(
            f"{directory}: columns carry the label {unmasked[0]!r}, and no policy masks it; "
            f'add a gate: @id("mask-{unmasked[0]}") @mask("{unmasked[0]}") '
            'forbid (principal, action == Action::"sql.select", resource);'
        )


def unmasked_labels(policies: Iterable[Policy], labels: Collection[str]) -> list[str]:
    """Labels that no policy in force masks; their columns would come through as they are."""
    masked = frozenset[str]().union(*(p.note.masked_labels for p in policies if p.enforced))
    return sorted(set(labels) - masked)


def policy_set(documents: Mapping[str, Mapping[str, Any]]) -> cedarpy.PolicySet:
    """Policies in their JSON form, by id, as Cedar is asked with them."""
    whole = {"templates": {}, "templateLinks": [], "staticPolicies": documents}
    return cedarpy.PolicySet.from_json_str(json.dumps(whole))


def _digest(schema: str, files: Iterable[tuple[str, str]]) -> str:
    digest = hashlib.sha256()
    for text in (schema, *(content for _, content in files)):
        encoded = text.encode()
        digest.update(len(encoded).to_bytes(8, "big") + encoded)
    return digest.hexdigest()


def _wrong(source: PolicyText, identifier: str, problem: str) -> PolicyError:
    return PolicyError(source, identifier, problem)
