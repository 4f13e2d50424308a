"""`make bench-native`: the native doors beside what people put in front of a database today.

pgbench's own select-only script, 16 clients, in each protocol, over TLS: through the gateway with
policy and recording on, and through pgbouncer. Each proxy has a core of its own; the clients, the
database and the store share the other one. Prints the median of the rounds. Ends with 1 if a bound
is missed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from server.system_account import account
from tests.bench.calls import cores, on, postgres
from tests.bench.proxies import CLIENTS, Load, Proxy, measure
from tests.e2e.certificates import Certificates
from tests.e2e.world import World, build, free_port, tear_down
from tests.fixtures.postgres import PostgresServer

DURABLE: Final = 0.4
BEST_EFFORT: Final = 0.6
_RATE: Final = re.compile(r"tps = ([0-9.]+)")


def _command(protocol: str, seconds: int) -> list[str]:
    command = ["pgbench", "-S", "-n", "-M", protocol, "-T", str(seconds)]
    return [*command, "-c", str(CLIENTS), "-j", "1"]


def _rate(printed: str) -> float | None:
    found = _RATE.search(printed)
    return float(found[1]) if found and "failed transactions: 0 " in printed else None


LOAD: Final = Load(
    f"pgbench -S, {CLIENTS} clients", ("simple", "extended", "prepared"), _command, _rate
)


@contextmanager
def pgbouncer(directory: Path, world: World, tls: Certificates, core: set[int]) -> Iterator[Proxy]:
    """One that keeps a connection for each client, as the gateway does."""
    port, server, who = free_port(), world.postgres, account()
    directory.mkdir(mode=0o755)
    for name in ("certificate", "key"):
        shutil.copy(getattr(tls, name), directory / f"{name}.pem")
    place = f"host={server.socket_directory} port={server.port} dbname={world.database}"
    login = f"user={server.superuser} password={server.password}"
    (directory / "pgbouncer.ini").write_text(
        f"[databases]\nshop = {place} {login}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
        f"listen_port = {port}\nauth_type = any\npool_mode = session\ndefault_pool_size = 64\n"
        f"client_tls_sslmode = require\nclient_tls_key_file = {directory}/key.pem\n"
        f"client_tls_cert_file = {directory}/certificate.pem\nunix_socket_dir =\n"
    )
    for each in (directory, *directory.iterdir()):
        if who.uid is not None and who.gid is not None:
            os.chown(each, who.uid, who.gid)
    with on(core):
        process = subprocess.Popen(
            ["pgbouncer", "-q", str(directory / "pgbouncer.ini")], user=who.uid, group=who.gid
        )
    time.sleep(1)
    try:
        yield Proxy("pgbouncer", process.pid, LOAD, clients(port, "anybody", ""))
    finally:
        process.terminate()
        process.wait()


def clients(port: int, user: str, password: str) -> Mapping[str, str]:
    """What libpq is told."""
    return {
        "PGHOST": "127.0.0.1",
        "PGPORT": str(port),
        "PGUSER": user,
        "PGPASSWORD": password,
        "PGDATABASE": "shop",
        "PGSSLMODE": "require",
    }


@contextmanager
def gateway(
    directory: Path, server: PostgresServer, tls: Certificates, core: set[int], recording: str
) -> Iterator[World]:
    directory.mkdir()
    world = build(directory, server, f"native_{recording}")
    target = {**world.configuration()["targets"]["shop"]}
    if recording != "durable":
        target["recording"] = recording
    door = {"protocol": "postgres", "listen": f"127.0.0.1:{world.listener}", "tls": tls.document}
    world.settings = {**world.settings, "targets": {"shop": target}, "listeners": [door]}
    environment = {
        **os.environ,
        "PGHOST": server.socket_directory,
        "PGPORT": str(server.port),
        "PGUSER": server.superuser,
        "PGPASSWORD": server.password,
        "PGDATABASE": world.database,
    }
    try:
        command = ["pgbench", "-i", "-q", "-s", "1"]
        subprocess.run(command, env=environment, check=True, capture_output=True)
        with on(core):
            world.start()
        yield world
    finally:
        tear_down(world)


def main() -> int:
    core, rest = cores()
    with (
        on(rest),
        tempfile.TemporaryDirectory(prefix="ostiary-bench-", dir="/tmp") as place,
        postgres(Path(place) / "postgres") as server,
    ):
        directory = Path(place)
        directory.chmod(0o711)
        tls = Certificates.make(directory)
        with (
            gateway(directory / "durable", server, tls, core, "durable") as durable,
            gateway(directory / "best_effort", server, tls, core, "best_effort") as best_effort,
            pgbouncer(directory / "pgbouncer", durable, tls, core) as beside,
        ):
            worlds = {"durable": durable, "best_effort": best_effort}
            proxies = [
                Proxy(
                    name,
                    world.process.pid if world.process else 0,
                    LOAD,
                    clients(world.listener, "rita", world.token("rita", seconds=6000)),
                )
                for name, world in worlds.items()
            ]
            bounds = {"durable": DURABLE, "best_effort": BEST_EFFORT}
            return 0 if measure(proxies, beside, bounds) else 1


if __name__ == "__main__":
    sys.exit(main())
