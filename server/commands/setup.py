"""`ostiary init` and `check`: a configuration to begin with, and whether one would run."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

from policies.errors import ConfigError
from policies.packs import Pack
from server.commands.policy_check import configured
from server.commands.policy_packs import chosen
from server.commands.terminal import say
from server.config import Configuration, Secret, example, load
from server.keys import KeyRing
from server.webhooks.sender import check_webhook

FILE_NAME = "ostiary.yaml"


def init(arguments: Namespace) -> int:
    """Write what is missing of an example configuration and a key ring; changes nothing else.

    Raises `ConfigError` if both are there.
    """
    directory = Path(arguments.directory)
    pack = chosen(arguments.pack)
    file, keys = directory / FILE_NAME, directory / "state" / "keys.json"
    if file.exists() and keys.exists():
        raise ConfigError(f"{file} and {keys} are there already; nothing was changed")
    directory.mkdir(parents=True, exist_ok=True)
    _make_keys(keys)
    _make_file(file, pack)
    say("next: put your identity provider and your database into it, then")
    say(f"      ostiary check {file}")
    say(f"      ostiary serve --config {file}")
    return 0


def _make_keys(keys: Path) -> None:
    if keys.exists():
        say(f"kept  {keys}, the key ring")
        return
    keys.parent.mkdir(mode=0o700, exist_ok=True)
    KeyRing.create(keys)
    say(f"wrote {keys}, the key ring: keep a copy of it in a safe place")


def _make_file(file: Path, pack: Pack) -> None:
    if file.exists():
        say(f"kept  {file}, the configuration")
        return
    text = example(file).replace("\npolicies: starter\n", f"\npolicies: {pack.name}\n")
    file.write_text(text, encoding="utf-8")
    say(f"wrote {file}, a configuration to begin with")
    say(f"      policies: {pack.name}, for the groups {', '.join(pack.groups)}")


def check(arguments: Namespace) -> int:
    """Read everything that `serve` would read, and connect to nothing."""
    file = Path(arguments.config or arguments.file or FILE_NAME)
    configuration = load(file)
    KeyRing.load(configuration.keys)
    for secret in _secrets(configuration):
        secret.resolve()
    for webhook in configuration.notifications.webhooks:
        check_webhook(webhook)
    point = configured(configuration)
    targets, issuers = configuration.targets, configuration.identity.issuers
    say(f"{file} is good")
    say(f"  targets: {', '.join(sorted(targets))}")
    say(f"  issuers: {', '.join(f'{i.name} ({i.issuer})' for i in issuers)}")
    say(f"  policies: {configuration.policies}, version {point.version[:12]}")
    return 0


def _secrets(configuration: Configuration) -> Iterator[Secret]:
    if configuration.store.url is not None:
        yield configuration.store.url
    for target in configuration.targets.values():
        accounts = (target.reader, target.writer)
        yield from (account.password for account in accounts if account is not None)
