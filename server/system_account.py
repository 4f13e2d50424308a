"""The operating system's account that the embedded PostgreSQL runs under.

PostgreSQL refuses to run as root, so root's server gets an account that owns nothing else; an
ordinary user's server runs as that user.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from policies.errors import ConfigError

ACCOUNT: Final = "ostiary_postgres"

ROOTS_HOMES: Final = Path("/var/lib/ostiary")
"""Where root's servers live whose configured directory the account can't enter, as below /root."""

_ENVIRONMENT: Final = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


@dataclass(frozen=True, slots=True)
class Account:
    """Who runs the server; `None` ids mean: whoever we are."""

    uid: int | None = None
    gid: int | None = None

    def may_enter(self, path: Path) -> bool:
        """Ask the system, which knows about access lists and mount options."""
        return self._succeeds("/bin/sh", "-c", 'cd -- "$1"', "sh", str(path))

    def may_run(self, program: Path) -> bool:
        return self._succeeds(str(program), "--version")

    def _succeeds(self, *command: str) -> bool:
        try:
            done = subprocess.run(
                command,
                user=self.uid,
                group=self.gid,
                extra_groups=self._groups,
                cwd="/",
                env=_ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=30,
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
        return done.returncode == 0

    async def run(self, program: Path, *arguments: str, directory: Path) -> str | None:
        """Run to the end; `None`, or what it wrote on standard error if it failed."""
        # In a thread: not every event loop can start a process as somebody else.
        done = await asyncio.to_thread(
            subprocess.run,
            [str(program), *arguments],
            user=self.uid,
            group=self.gid,
            extra_groups=self._groups,
            cwd=directory,
            env=_ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            check=False,
        )
        return done.stderr.decode(errors="replace").strip() if done.returncode else None

    @property
    def _groups(self) -> list[int] | None:
        return None if self.gid is None else []

    def own_directory(self, path: Path) -> None:
        """Make a directory of the account's own. Its parent must not be the account's to change."""
        path.mkdir(mode=0o700, exist_ok=True)
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def own_file(self, path: Path, text: str) -> None:
        """Write a new file that only the account (and root) can read."""
        write_private(path, text)
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)


def write_private(path: Path, text: str) -> None:
    """Write a new file that only its owner can read, in place of one that is there."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def account() -> Account:
    """Ourselves, or, when we are root, the account that is made for it."""
    if os.geteuid() != 0:
        return Account()
    with _one_at_a_time():
        entry = _entry() or _create()
    return Account(entry.pw_uid, entry.pw_gid)


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """While one process makes the account, another would find half of it."""
    _make(ROOTS_HOMES, Account(0, 0))
    directory = os.open(ROOTS_HOMES, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield
    finally:
        os.close(directory)


def _entry() -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(ACCOUNT)
    except KeyError:
        return None


def _create() -> pwd.struct_passwd:
    useradd = shutil.which("useradd", path=os.pathsep.join([os.defpath, "/usr/sbin", "/sbin"]))
    if useradd is None:
        raise ConfigError(
            "PostgreSQL can't run as root, and there is no `useradd` to make an account for it: "
            "run Ostiary as an ordinary user, or configure store.url"
        )
    options = ["--system", "--user-group", "--no-create-home", "--shell", "/bin/false"]
    subprocess.run([useradd, *options, ACCOUNT], capture_output=True, timeout=60)
    entry = _entry()  # whatever useradd said: another process may have made it meanwhile
    if entry is None:
        raise ConfigError(
            f"PostgreSQL can't run as root, and the account {ACCOUNT} could not be made: make it "
            f"with `useradd --system {ACCOUNT}`, run as an ordinary user, or configure store.url"
        )
    return entry


def reachable_home(directory: Path, who: Account) -> Path:
    """`directory`, made if need be, or a place in /var/lib for it where `who` can't get there."""
    directory = directory.absolute()
    _make(directory, who)
    if who.may_enter(directory):
        return directory
    digest = hashlib.sha256(os.fsencode(directory.resolve())).hexdigest()[:12]
    home = ROOTS_HOMES / f"{directory.name}-{digest}"
    _make(home, who)
    if not who.may_enter(home):
        raise ConfigError(
            f"the account {ACCOUNT} can enter neither {directory} nor {home}: "
            "set `state` to a directory whose parents others may enter"
        )
    return home


def _make(home: Path, who: Account) -> None:
    """The home itself stays ours: nothing in it can be swapped for a link by the account."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        home.chmod(0o700 if who.uid is None else 0o711)
    except PermissionError:
        raise ConfigError(
            f"{home} can't be written: it belongs to another account; "
            "remove it, or set `state` to a directory of your own"
        ) from None
