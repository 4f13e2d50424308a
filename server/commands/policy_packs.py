"""`ostiary policy packs`: the policies that come with the gateway, to choose from and to copy."""

from __future__ import annotations

import shutil
from argparse import Namespace
from pathlib import Path

from policies.errors import ConfigError
from policies.packs import PACKS, Pack
from server.commands.terminal import say


def packs(arguments: Namespace) -> int:
    """List them, or copy one."""
    if arguments.copy is not None:
        return _copy(chosen(arguments.copy[0]), Path(arguments.copy[1]))
    for pack in PACKS:
        say(f"{pack.name}: {pack.sentence}")
        say(f"    groups: {', '.join(pack.groups)}")
        say(f"    files:  {pack.directory}")
    say("choose one in the configuration (`policies: NAME`), or copy one and change it:")
    say("    ostiary policy packs --copy NAME policies && ostiary policy test policies")
    return 0


def chosen(name: str) -> Pack:
    """Raises `ConfigError` for a pack that is none."""
    found = next((pack for pack in PACKS if pack.name == name), None)
    if found is None:
        known = ", ".join(pack.name for pack in PACKS)
        raise ConfigError(f"there is no pack {name!r}; there are {known}")
    return found


def _copy(pack: Pack, directory: Path) -> int:
    if directory.exists() and any(directory.iterdir()):
        raise ConfigError(f"{directory} is not empty; nothing was changed")
    directory.mkdir(parents=True, exist_ok=True)
    for file in sorted(pack.directory.iterdir()):
        if file.suffix in (".cedar", ".yaml"):
            shutil.copyfile(file, directory / file.name)
            say(f"wrote {directory / file.name}")
    say(f"next: write `policies: ./{directory.name}` into the configuration that stands beside it")
    return 0
