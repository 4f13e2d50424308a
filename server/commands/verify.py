"""`ostiary verify` and `anchor-key`: the recording checked on its own, without a gateway's word.

The store is read directly, and nothing in it is changed.
"""

from __future__ import annotations

import asyncio
from argparse import Namespace
from contextlib import AsyncExitStack
from dataclasses import asdict
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from policies.errors import ConfigError
from recordings.anchors import PublicKeys
from recordings.checks import AnchorFiles
from recordings.store import Store
from recordings.verify import KeyLookup, Verdict
from recordings.verify import verify as verify_store
from server import embedded
from server.commands.terminal import complain, say
from server.commands.verdicts import tell
from server.config import load
from server.evidence import STORE_DATABASE, anchor_files, anchor_keys, digest_keys
from server.keys import KeyRing
from server.references import Secret


def verify(arguments: Namespace) -> int:
    """Check a store with a configuration's keys, or with public keys; 1 if it is not good."""
    check = _with_public_keys if arguments.store else _with_configuration
    verdict = asyncio.run(check(arguments))
    code = tell(asdict(verdict))
    if arguments.store and not verdict.anchors:
        say("NOT GOOD: no anchor at hand is of this store, so it may have been written anew")
        return 1
    return code


def anchor_key(arguments: Namespace) -> int:
    """Print the public keys that anchors are signed with, the current one first."""
    for key in anchor_keys(KeyRing.load(load(Path(arguments.config)).keys)):
        say(f"{key.id}:{key.public.public_bytes_raw().hex()}")
    return 0


async def _with_configuration(arguments: Namespace) -> Verdict:
    """As the gateway itself would, and with copies of its anchors that were kept elsewhere."""
    configuration = load(Path(arguments.config))
    keys = KeyRing.load(configuration.keys)
    own = anchor_files(configuration.recordings, keys)
    copies = tuple(Path(file) for file in arguments.anchors)
    async with AsyncExitStack() as lifetime:
        if configuration.store.url is not None:
            dsn = configuration.store.url.resolve()
        else:
            server = await embedded.start(configuration.state / "postgres")
            lifetime.push_async_callback(server.stop)
            dsn = server.dsn(STORE_DATABASE)
        witness = AnchorFiles((*own.paths, *copies), own.keys, own.place)
        return await _verified(dsn, digest_keys(keys), witness)


async def _with_public_keys(arguments: Namespace) -> Verdict:
    """As an auditor does: chains and anchors, and no body, because its digest needs a secret."""
    if not arguments.anchors or not arguments.public_key:
        raise ConfigError(
            "--store needs --anchors FILE and --public-key ID:HEX, as `ostiary anchor-key` prints "
            "it: a chain alone does not show that it was written anew"
        )
    files = tuple(Path(file) for file in arguments.anchors)
    if missing := [str(file) for file in files if not file.exists()]:
        raise ConfigError(f"there is no file of anchors {missing[0]}")
    witness = AnchorFiles(files, _public_keys(arguments.public_key))
    return await _verified(Secret.parse(arguments.store).resolve(), None, witness)


async def _verified(dsn: str, keys: KeyLookup | None, witness: AnchorFiles) -> Verdict:
    store = await Store.open_to_read(dsn)
    try:
        return await verify_store(store, keys, witness)
    except OSError as error:
        raise ConfigError(f"the anchors can't be read: {error}") from None
    finally:
        await store.close()


def _public_keys(written: list[str]) -> PublicKeys:
    keys: dict[str, Ed25519PublicKey] = {}
    for each in written:
        identifier, _, value = each.partition(":")
        try:
            keys[identifier] = Ed25519PublicKey.from_public_bytes(bytes.fromhex(value))
        except ValueError:
            complain(f"not a public key: {each}")
            raise ConfigError("write --public-key ID:HEX, as `ostiary anchor-key` prints it") from (
                None
            )
    return keys.get
