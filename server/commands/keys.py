"""`ostiary keys`: the gateway's own keys, changed in their file on the gateway's machine."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from server.commands.terminal import complain, say, show_table
from server.config import load
from server.key_file import CONSEQUENCES, KeyFile, missing, purpose_named, require_droppable
from server.keys import KeyEntry, Purpose, check_private, read_entries
from server.references import Secret

_RESTART: Final = (
    "Restart every gateway that uses this ring: a gateway reads its keys when it starts."
)
_NEW_DOMAIN: Final = (
    "A new pseudonym key is a new domain: once the gateways are restarted, each value has another "
    "pseudonym than before, and results from before can't be joined with results from after."
)


def list_(arguments: Namespace) -> int:
    """Ids and purposes; 1 where a purpose has no key."""
    entries = _entries(_reference(arguments))
    show_table(("purpose", "id", "use", "made"), _lines(entries))
    lacking = missing(entries)
    for purpose in lacking:
        complain(f"missing: {purpose}; make it with `ostiary keys add-missing`")
    return 1 if lacking else 0


def rotate(arguments: Namespace) -> int:
    """A new current key; the old ones stay for reading."""
    purpose = purpose_named(arguments.purpose)
    file = KeyFile.of(_reference(arguments))
    made = file.rotate(purpose)
    say(f"{made.id} is the current key for {purpose} in {file.path}")
    if purpose is Purpose.PSEUDONYM:
        say(_NEW_DOMAIN)
    say(_RESTART)
    say("Keep a copy of the ring in a safe place.")
    return 0


def drop(arguments: Namespace) -> int:
    """Remove an old key; without `--yes`, only say what that means."""
    purpose = purpose_named(arguments.purpose)
    file = KeyFile.of(_reference(arguments))
    require_droppable(file.entries(), purpose, arguments.id)
    say(f"Without the key {arguments.id}, {CONSEQUENCES[purpose]}.")
    if not arguments.yes:
        complain("nothing was changed; do it with --yes")
        return 1
    file.drop(purpose, arguments.id)
    say(f"{arguments.id} is gone from {file.path}")
    say(_RESTART)
    return 0


def add_missing(arguments: Namespace) -> int:
    """Make what this version needs and the ring lacks."""
    file = KeyFile.of(_reference(arguments))
    made = file.add_missing()
    for entry in made:
        say(f"{entry.id} is the key for {entry.purpose} in {file.path}")
    say("Keep a copy of the ring in a safe place." if made else "nothing is missing")
    return 0


def _reference(arguments: Namespace) -> Secret:
    return load(Path(arguments.config)).keys


def _entries(reference: Secret) -> Sequence[KeyEntry]:
    """Of any ring, wherever it is kept."""
    if reference.path is not None:
        check_private(reference.path)
    return read_entries(reference.resolve(), str(reference))


def _lines(entries: Sequence[KeyEntry]) -> Iterator[tuple[str, str, str, str]]:
    known = {purpose.value for purpose in Purpose}
    seen = set[str]()
    for entry in sorted(entries, key=lambda entry: entry.purpose):  # stable: current stays first
        use = "reading" if entry.purpose in seen else "current"
        seen.add(entry.purpose)
        yield (
            entry.purpose,
            entry.id,
            use if entry.purpose in known else "another version's",
            entry.made_at or "-",
        )
